#!/bin/sh
# Greedy decoding, batch 1, one thread: ours against CTranslate2 on a model of the same shapes, random weights on both
# sides, side by side. Usage: tests/bench/decoding_speed.sh [--build FOLDER] [--rounds N] [--lengths 64,256,..];
# FOLDER holds a build with -DGR_BENCH=ON (default: build). CTranslate2 runs in .bench-venv/ctranslate2, made on the first
# call.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$root/build
if [ "${1:-}" = --build ]; then
  folder=$2
  shift 2
fi
bench=$folder/bin/decoding_bench
[ -x "$bench" ] || { echo "decoding_speed: $bench is missing; configure with -DGR_BENCH=ON and build decoding_bench" >&2; exit 1; }

venv=$root/.bench-venv/ctranslate2
python=$venv/bin/python
if [ ! -e "$venv/ready" ]; then
  # LibTorch's folder is a virtual environment itself and has a pip.
  "$root/.libtorch/bin/python" -m venv --without-pip "$venv"
  "$root/.libtorch/bin/python" -m pip --python "$python" install --quiet --no-deps \
    ctranslate2==4.8.5 numpy==2.2.6 PyYAML==6.0.2
  touch "$venv/ready"
fi
export OMP_NUM_THREADS=1
model=$(mktemp -d)
trap 'rm -rf "$model"' EXIT INT TERM
"$python" "$root/tests/bench/decoding_speed/compare.py" "$bench" "$model" "$@"
