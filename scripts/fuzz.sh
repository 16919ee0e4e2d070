#!/usr/bin/env bash
# Fuzzes what reads files and typed text: builds libFuzzer targets (tests/fuzz, clang, into build-fuzz/) and runs each
# for --seconds (default 600), as many at a time as there are processors, on kept and new inputs. Prints executions,
# coverage and findings; inputs of findings and new inputs stay in build-fuzz/found/TARGET/. Exit code 1 with a finding.
# Usage: scripts/fuzz.sh [--seconds S] [TARGET..]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=600
processors=$(nproc)  # before OMP_NUM_THREADS is set, which nproc minds
all=(safetensors problem items judge text vocabulary config checkpoint metrics run)
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds)
      seconds=${2:-}
      [[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz.sh: --seconds needs a whole number, got '$seconds'" >&2; exit 2; }
      shift 2 ;;
    *)
      [[ " ${all[*]} " == *" $1 "* ]] || { echo "fuzz.sh: unknown target '$1'; known: ${all[*]}" >&2; exit 2; }
      targets+=("$1")
      shift ;;
  esac
done
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")

# What is not fuzzed comes from the normal build.
EXTRA_PACKAGES=clang scripts/build.sh
libraries=$(realpath "${BUILD_DIR:-build}")
cmake -S . -B build-fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DGR_FUZZ=ON -DGR_FUZZ_LIBRARIES="$libraries" \
  ${GR_LIBTORCH:+-DGR_LIBTORCH="$GR_LIBTORCH"} >build-fuzz.configure.log 2>&1 || { cat build-fuzz.configure.log; exit 1; }
rm -f build-fuzz.configure.log
cmake --build build-fuzz --target fuzz

# Scratch files are forced to the disk by some targets: in memory that costs nothing.
memory=/dev/shm
[ -d $memory ] || memory=${TMPDIR:-/tmp}
TMPDIR=$(mktemp -d -p $memory)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
# Both stop at the first error; leaks of a process that ends after every finding are none of a reader's promises.
export ASAN_OPTIONS=detect_leaks=0:detect_odr_violation=0 OMP_NUM_THREADS=1

# The time limit of one input is by the clock, so it leaves room for a busy machine.
fuzz() {
  local target=$1 found=build-fuzz/found/$1 status=0 executed covered
  mkdir -p "$found/inputs"
  local options=(-max_total_time="$seconds" -timeout=30 -rss_limit_mb=2048 -malloc_limit_mb=512 -max_len=16384
    -entropic_scale_per_exec_time=1 -print_final_stats=1 -artifact_prefix="$found/")
  [ -f "tests/fuzz/dictionaries/$target" ] && options+=(-dict="tests/fuzz/dictionaries/$target")
  GR_FUZZ_TARGET=$target build-fuzz/bin/fuzz "${options[@]}" "$found/inputs" "tests/fuzz/corpus/$target" \
    >"$found/log" 2>&1 || status=$?
  executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found/log" | tail -1)
  covered=$(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$found/log" | tail -1) || covered="no coverage said"
  if [ $status -eq 0 ]; then
    printf '%-12s %10s executions in %s s, %s, no finding\n' "$target" "$executed" "$seconds" "$covered"
  else
    printf '%-12s %10s executions, %s, FINDING (%s):\n' "$target" "$executed" "$covered" "$found/log"
    grep -m3 -E 'ERROR|broken promise|what\(\)|runtime error|Test unit written' "$found/log" || tail -5 "$found/log"
  fi
  return $status
}

running=()
for target in "${targets[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$processors" ]; do wait -n || true; done
  fuzz "$target" &
  running+=($!)
done
failed=0
for process in "${running[@]}"; do wait "$process" || failed=1; done
exit $failed
