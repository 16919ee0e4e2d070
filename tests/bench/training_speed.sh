#!/bin/sh
# Training speed of the C++ program against the same model in PyTorch (Python), one thread each.
# Usage: tests/bench/training_speed.sh [--build FOLDER] [--rounds N] [--steps N]; FOLDER holds a build with
# -DGR_BENCH=ON (default: build). Python runs in .bench-venv, made on the first call, on the very LibTorch files the
# C++ side uses; only four small packages are downloaded.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$root/build
if [ "${1:-}" = --build ]; then
  folder=$2
  shift 2
fi
bench=$folder/bin/training_bench
[ -x "$bench" ] || { echo "training_speed: $bench is missing; configure with -DGR_BENCH=ON and build training_bench" >&2; exit 1; }

site=$(echo "$root"/.libtorch/lib/python3*/site-packages)
venv=$root/.bench-venv
python=$venv/bin/python
if [ ! -e "$venv/ready" ]; then
  # LibTorch's folder is a virtual environment itself: its interpreter version is the one the wheel was made for.
  "$root/.libtorch/bin/python" -m venv --without-pip "$venv"
  "$root/.libtorch/bin/python" -m pip --python "$python" install --quiet --no-deps typing_extensions filelock sympy mpmath
  echo "$site" > "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/libtorch.pth"
  sh "$root/tests/bench/pytorch_training/cuda_stubs.sh" "$site/torch" "$venv/cuda_stubs"
  touch "$venv/ready"
fi

export LD_LIBRARY_PATH="$venv/cuda_stubs" OMP_NUM_THREADS=1
data=$(mktemp)
trap 'rm -f "$data"' EXIT INT TERM
"$bench" write "$data"
"$python" "$root/tests/bench/pytorch_training/compare.py" "$bench" "$data" "$@"
