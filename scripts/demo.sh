#!/usr/bin/env bash
# Trains a dense and a sparse model side by side, one core each, on the nine exam families, then compares them on 500
# unseen problems and on the nine exam questions. Usage: scripts/demo.sh [--minutes M], M = training time (default 6).
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=6
while [ $# -gt 0 ]; do
  case $1 in
    --minutes)
      minutes=${2:-}
      [[ $minutes =~ ^[0-9]+([.][0-9]+)?$ ]] || { echo "demo.sh: --minutes needs a number, got '$minutes'" >&2; exit 2; }
      shift 2 ;;
    *) echo "demo.sh: unknown option '$1'; known: --minutes M" >&2; exit 2 ;;
  esac
done

scripts/build.sh -DGR_TESTS=OFF
bin=${BUILD_DIR:-build}/bin
out=runs/demo
rm -rf $out
mkdir -p $out

# Processors without these instructions emulate bfloat16, slower than float32.
precision=float32
if grep -qwE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then precision=bfloat16; fi
train() { OMP_NUM_THREADS=1 exec $bin/giantrabbit-train --task exam --precision $precision --minutes "$minutes" "$@"; }

# Both runs are stopped with this script, and a failure of either ends it.
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
echo "demo.sh: training dense (softmax) and sparse (sparsemax) for $minutes minutes, one core each"
train --attention softmax --out $out/dense &
dense=$!
train --attention sparsemax --out $out/sparse &
sparse=$!
wait $dense
wait $sparse

$bin/giantrabbit-eval compare $out/dense $out/sparse --count 500 --json $out/comparison.json --report $out/report.html
$bin/giantrabbit-eval exam $out/dense $out/sparse
echo "demo.sh: figures in $out/comparison.json, report in $out/report.html"
