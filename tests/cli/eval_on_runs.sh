#!/usr/bin/env bash
# giantrabbit-eval on runs of two training steps: names, lengths, and that few problems claim nothing.
# Usage: eval_on_runs.sh PATH/TO/giantrabbit-train PATH/TO/giantrabbit-eval
set -u
train=$(realpath "$1") program=$(realpath "$2")
sorter=$(realpath "$(dirname "$0")/../../scripts/abc_sorter.toml")
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failures=0
report() { echo "FAILED: $1"; sed 's/^/    /' out err; failures=$((failures + 1)); }

# expect CODE PART ARGUMENTS..: PART in what is printed, on stderr for errors.
expect() {
  local code=$1 part=$2 stream=out
  shift 2
  "$program" "$@" >out 2>err
  local actual=$?
  [ $actual -eq "$code" ] || report "giantrabbit-eval $*: exit code $actual instead of $code"
  [ "$code" -eq 0 ] || stream=err
  grep -qF -e "$part" $stream || report "giantrabbit-eval $*: no '$part'"
}
# never PATTERN: the last command did not print it.
never() { grep -qE -e "$1" out err && report "printed '$1'"; }

small="--width 16 --heads 2 --feed-forward 32 --encoder-layers 1 --decoder-layers 1 --thought-steps 1 --steps 2"
for run in one/run two/run; do
  seed=$((${seed:-0} + 1))
  # shellcheck disable=SC2086  # options are words
  "$train" $small --batch-tokens 128 --validation-items 2 --seed $seed --out $run >out 2>err || report "no run $run"
done

# Runs of one name, changed and unchanged, stay four runs; no problem is solved, and that is no certainty either.
expect 0 "Attention of two/run@window=8" compare one/run one/run@window=8 two/run two/run@window=8 --count 4 --timed 0 \
  --traced 1 --csv csv
never '0\.0 \[0\.0, 0\.0\]'
[ "$(ls csv | grep -c '^table-attention-of-')" -eq 4 ] || report "four tables are not four files: $(ls csv)"
expect 0 "two/run     none" evict one/run two/run --keep 1 --count 1
[ "$(grep -c '/run' out)" -eq 2 ] || report "--keep 1 measures the full cache more than once"

expect 0 "No difference in time between" compare one/run two/run@window=8 --count 1 --timed 1 --traced 0
never '(faster|slower) than'
expect 0 "is not shown (" inspect one/run --count 2
never ' is shown'

# Lengths are checked before anything is judged or forced.
expect 2 "--lengths 1024: one/run has positions for 384 tokens" compare one/run --count 1 --lengths 64,1024
never 'judging'
expect 2 "--lengths 1000000: one/run has positions for 384 tokens" timing one/run --lengths 1000000
expect 0 "Left out, as the runs have positions for 384 tokens only: 1024, 4096, 16384" timing one/run --repeats 1
expect 0 "crossover measured" compare one/run --count 1 --timed 0 --traced 0 --lengths 16,32 --json figures.json
grep -qF '"predicted_crossover"' figures.json || report "the JSON lacks the crossover"

# Patterns of shared queries and keys: every line, one picture, and a sentence for a run that has none.
expect 2 "no layer of the model shares queries and keys" patterns one/run
# shellcheck disable=SC2086
"$train" ${small/decoder-layers 1/decoder-layers 2} --shared-attention lsh --lsh-chunk 4 --batch-tokens 128 \
  --validation-items 2 --out shared >out 2>err || report "no shared run"
expect 0 "time / full" patterns shared --rounds 1,2 --count 2 --json patterns.json
[ "$(grep -cE '^ *(full|lsh|window|random) ' out)" -eq 7 ] || report "patterns: not seven lines"
expect 2 "task" patterns shared --task no-such-task
grep -qF '"support_recall"' patterns.json || report "the JSON of patterns lacks the recall"
if command -v gnuplot >gnuplot.path; then
  expect 0 "time / full" patterns shared@attention=sparsemax --rounds 1,2 --count 1 --plot patterns.svg
  grep -qF 'xmlns="http://www.w3.org/2000/svg"' patterns.svg || report "patterns.svg is no file of its own"
fi

# The ABC sorter by its configuration file: its parameters, and two traces beside each other.
for attention in softmax sparsemax; do
  "$train" --config "$sorter" --attention $attention --steps 2 --out abc/$attention >out 2>err || report "no sorter"
done
expect 0 "decoder.layers.0.self_attention.deep_qkv.base" inspect abc/softmax --parameters
expect 0 "softmax, attention softmax" inspect abc/softmax abc/sparsemax --problem "ABC c a a" --trace
[ "$(grep -c 'step1: p(a)=.*step1: p(a)=' out)" -eq 1 ] || report "the traces do not stand beside each other"
expect 2 "--trace goes with --problem or --item" inspect abc/softmax --trace
expect 2 "has no word \"d\"" inspect abc/softmax --problem "ABC d a" --trace

[ $failures -eq 0 ] && echo "all checks on runs passed"
exit $failures
