#!/usr/bin/env bash
# giantrabbit-eval on runs of two training steps: names, lengths, and that few problems claim nothing.
# Usage: eval_on_runs.sh PATH/TO/giantrabbit-train PATH/TO/giantrabbit-eval
set -u
sorter=$(realpath "$(dirname "$0")/../../scripts/abc_sorter.toml")
. "$(dirname "$0")/expect_on_runs.sh"

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

# A text run: judged, writing, its text in another place, and refused where there are problems to solve.
seq 3000 >numbers.txt
"$train" --task text --text numbers.txt --text-length 64 --encoder=false --thought-steps 0 --position rotary --width 16 \
  --heads 2 --feed-forward 32 --decoder-layers 1 --steps 2 --batch-tokens 128 --out text/a >out 2>err || report "no text run"
expect 0 "694 of 694" text text/a
expect 0 "96 of 694" text text/a text/a@window=8 --count 2 --json text.json
grep -qF '"bits_per_character"' text.json || report "the JSON lacks the bits per character"
expect 0 "a writes:" text text/a --count 1 --sample 20 --start 12
expect 2 "has no problems to solve; giantrabbit-eval text judges it" compare text/a
expect 2 "has no problems to solve" solve text/a --problem "RREF 1 2 3 ; 3 4 5"
expect 2 "was trained on the task row-reduction, not on a text" text one/run
expect 2 "model.output: 'sparsemax' gives some characters no probability" text text/a@output=sparsemax
mv numbers.txt moved.txt
expect 1 "cannot read numbers.txt: No such file" text text/a
expect 0 "694 of 694" text text/a --text moved.txt
echo >>moved.txt
expect 1 "moved.txt: not the text that training began with" text text/a --text moved.txt

[ $failures -eq 0 ] && echo "all checks on runs passed"
exit $failures
