#!/usr/bin/env bash
# scripts/experiments.sh with programs that only pretend: what is refused, where runs go, and that no trainer outlives
# the script. Usage: experiments.sh PATH/TO/scripts/experiments.sh
set -u
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
failures=0
report() { echo "FAILED: $1"; sed 's/^/    /' "$folder/text"; failures=$((failures + 1)); }

mkdir -p "$folder/scripts" "$folder/build/bin"
cp "$1" "$folder/scripts/experiments.sh"
printf '#!/bin/sh\n' >"$folder/scripts/build.sh"
printf '#!/bin/sh\n' >"$folder/build/bin/giantrabbit-eval"
# Leaves what a finished run leaves; where broken-trainer is, the dense arm fails as soon as the sparse one trains.
cat >"$folder/build/bin/giantrabbit-train" <<'TRAINER'
#!/usr/bin/env bash
for word; do [ "${last:-}" = --out ] && out=$word; [ "${last:-}" = --minutes ] && minutes=$word; last=$word; done
if [ -e broken-trainer ]; then
  case $* in
    *softmax*) until [ -s sparse.pid ]; do read -rt 0.02 <> <(:); done; exit 1 ;;
    *) echo $$ >sparse.pid; exec sleep 60 ;;
  esac
fi
mkdir -p "$out"
printf '[train]\nminutes = %s\n' "$minutes.0" >"$out/config.toml"
touch "$out/summary.json"
TRAINER
chmod +x "$folder"/scripts/build.sh "$folder"/build/bin/*

# expect CODE PART ARGUMENTS..
expect() {
  local code=$1 part=$2
  shift 2
  BUILD_DIR=build "$folder/scripts/experiments.sh" "$@" >"$folder/text" 2>&1
  local actual=$?
  [ $actual -eq "$code" ] || report "experiments.sh $*: exit code $actual instead of $code"
  grep -qF -e "$part" "$folder/text" || report "experiments.sh $*: no '$part'"
}

expect 2 "--task copy: the experiment recall has a task of its own, recall" recall --task copy
expect 2 "--task copy: the experiment length has a task of its own" length --task copy
expect 0 "trained runs/experiments/eviction/row-reduction/dense-1" eviction --minutes 2
expect 0 "trained runs/experiments/eviction/sorting/dense-1" eviction --minutes 2 --task sorting
expect 0 "runs/experiments/eviction/sorting/dense-1 is finished" eviction --minutes 2.0 --task sorting
expect 2 "dense-1 was started with --minutes 2.0, not 5" eviction --minutes 5 --task sorting

touch "$folder/broken-trainer"
expect 1 "copy/dense-1 failed" eviction --task copy
kill -0 "$(cat "$folder/sparse.pid")" 2>/dev/null && report "the sparse trainer lives on"

[ $failures -eq 0 ] && echo "all checks of experiments.sh passed"
exit $failures
