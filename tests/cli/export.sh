#!/usr/bin/env bash
# giantrabbit-eval export on runs of two training steps: what is written, what is refused, and that a refusal leaves
# nothing behind and old files alone.
# Usage: export.sh PATH/TO/giantrabbit-train PATH/TO/giantrabbit-eval
set -u
. "$(dirname "$0")/expect_on_runs.sh"

# run FOLDER OPTIONS..: two steps of a small model.
run() {
  "$train" --width 16 --heads 2 --feed-forward 32 --decoder-layers 2 --steps 2 --batch-tokens 128 --validation-items 2 \
    --out "$@" >out 2>err || report "no run $1"
}

run a --attention sparsemax --thought-steps 1 --encoder-layers 1
expect 0 "for 5 of 5 prompts" export a --out a.pt --count 5
grep -qF "with the operators of libgiantrabbit_ops.so" out || report "the library that is needed is not named"
expect 0 "LibTorch's own operators only" export a@window=8,attention=entmax15 --out b.pt --portable --count 3
unzip -l b.pt >list 2>/dev/null || python3 -m zipfile -l b.pt >list
for part in config.toml verification.json; do
  grep -qF $part list || report "b.pt has no $part"
done

# Refused before anything is written.
cp a.pt old.pt
expect 2 "export needs --out FILE" export a
expect 2 "export takes one run directory, got 2" export a a --out c.pt
expect 2 "the folder none does not exist" export a --out none/c.pt
expect 2 "export writes float32 weights only" export a --out c.pt --weights int8
expect 2 "export writes float32 weights only" export a@weights=bfloat16 --out c.pt
expect 2 "--count must be a whole number from 1 to 1000000, got '0'" export a --out c.pt --count 0
expect 1 "missing: no such run directory" export missing --out c.pt
[ -e c.pt ] && report "a refused export left a file"

run random --shared-attention random --position rotary --max-positions 1000000 --thought-steps 0 --encoder=false
expect 1 "model.shared_attention random needs a list" export random --out a.pt
[ "$(wc -l <err)" -eq 1 ] || report "the refusal is not one line"
cmp -s a.pt old.pt || report "a refused export changed the old file"

# A text has no prompts: what is written behind BOS is compared.
seq 3000 >numbers.txt
run text --task text --text numbers.txt --text-length 64 --encoder=false --thought-steps 0 --position rotary
expect 0 "for 1 of 1 prompts" export text --out text.pt --portable

[ $failures -eq 0 ] && echo "all checks of exports passed"
exit $failures
