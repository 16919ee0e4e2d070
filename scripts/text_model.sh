#!/usr/bin/env bash
# Trains a character model on the King James Bible and judges it against n-gram models, in bits per character of the
# part that it has not seen. The text is that of the Debian package bible-kjv, one verse a line, written once.
# Usage: scripts/text_model.sh [--minutes M] [--attention softmax|sparsemax|entmax15], M = training time (default 30).
# The run is runs/text/ATTENTION; a finished one is judged again, an interrupted one continues with the --minutes that
# it was started with.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "text_model.sh: $1" >&2; exit 2; }
minutes=30 attention=softmax
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || fail "$1 needs a value"
  case $1 in
    --minutes) [[ $2 =~ ^[0-9]+([.][0-9]+)?$ ]] || fail "--minutes needs a number, got '$2'"; minutes=$2 ;;
    --attention) [[ $2 =~ ^(softmax|sparsemax|entmax15)$ ]] || fail "--attention is softmax, sparsemax or entmax15, got '$2'"
      attention=$2 ;;
    *) fail "unknown option '$1'; known: --minutes M, --attention NAME" ;;
  esac
  shift 2
done

text=runs/text/kjv.txt
text_bytes=4404412
has_text() { [ "$(stat -c %s "$1" 2>/dev/null)" = $text_bytes ]; }
has_text $text || export EXTRA_PACKAGES=bible-kjv
scripts/build.sh -DGR_TESTS=OFF
mkdir -p runs/text
if ! has_text $text; then
  bible -f Gen1:1-Rev22:21 </dev/null >$text.part
  has_text $text.part || { echo "text_model.sh: $text.part does not have $text_bytes bytes" >&2; exit 1; }
  mv $text.part $text
fi
bin=${BUILD_DIR:-build}/bin
run=runs/text/$attention

# Processors without these instructions emulate bfloat16, slower than float32.
precision=float32
if grep -qwE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then precision=bfloat16; fi
if [ -e "$run/summary.json" ]; then
  echo "text_model.sh: $run is finished"
elif [ -d "$run/checkpoints" ]; then
  "$bin/giantrabbit-train" --resume --out "$run" --minutes "$minutes"
else
  rm -rf "$run"
  "$bin/giantrabbit-train" --task text --text $text --text-length 512 --encoder=false --thought-steps 0 --width 128 \
    --heads 4 --feed-forward 512 --decoder-layers 4 --position rotary --window 128 --attention "$attention" \
    --precision $precision --threads "$(nproc)" --minutes "$minutes" --out "$run"
fi
"$bin/giantrabbit-eval" text "$run" --threads "$(nproc)" --sample 400 --json "$run/text.json"
echo "text_model.sh: figures in $run/text.json"
