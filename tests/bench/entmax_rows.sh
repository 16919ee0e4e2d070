#!/bin/sh
# Rows of sparsemax and entmax15 against the Python package entmax and against torch.softmax, in one Python process.
# Usage: tests/bench/entmax_rows.sh [--build FOLDER] [--rounds N] [--threads N]; FOLDER holds a build (default: build).
# Python runs in .bench-venv/entmax, made on the first call, on the very LibTorch files the C++ side uses (GR_LIBTORCH, as
# for scripts/build.sh, or .libtorch); only five small packages are downloaded.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$root/build
if [ "${1:-}" = --build ]; then
  folder=$2
  shift 2
fi
library=$folder/ops/libgiantrabbit_ops.so
[ -e "$library" ] || { echo "entmax_rows: $library is missing; build giantrabbit_ops" >&2; exit 1; }

site=$(dirname "${GR_LIBTORCH:-$(echo "$root"/.libtorch/lib/python3*/site-packages/torch)}")
base=$site/../../../bin/python  # LibTorch's folder is a virtual environment itself
venv=$root/.bench-venv/entmax
python=$venv/bin/python
if [ ! -e "$venv/ready" ]; then
  "$base" -m venv --without-pip "$venv"
  "$base" -m pip --python "$python" install --quiet --no-deps entmax==1.3 typing_extensions filelock sympy mpmath
  echo "$site" > "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/libtorch.pth"
  sh "$root/tests/bench/pytorch_training/cuda_stubs.sh" "$site/torch" "$venv/cuda_stubs"
  touch "$venv/ready"
fi
export LD_LIBRARY_PATH="$venv/cuda_stubs"
"$python" -W ignore "$root/tests/bench/entmax_rows/compare.py" "$library" "$@"
