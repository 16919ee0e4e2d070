#!/usr/bin/env bash
# The Python package against PyTorch itself: builds the wheel and giantrabbit-train, installs the wheel with torch
# 2.14.1, entmax, safetensors and TensorBoard into .interop-venv/, runs the tests beside this file and
# python/examples/. The first run downloads about 3 GB (torch with its CUDA libraries), so scripts/test.sh does not
# include it. Arguments go to pytest, for example -k entmax. BUILD_DIR and GR_LIBTORCH as for scripts/build.sh;
# GR_TRAIN names a giantrabbit-train that is already there.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=.interop-venv
packages=(torch==2.14.1 numpy entmax==1.3 safetensors tensorboard pillow pytest)

scripts/build_wheel.sh
[ -n "${GR_TRAIN:-}" ] || BUILD_TARGETS=giantrabbit-train scripts/build.sh -DGR_TESTS=OFF
if [ "$(cat $venv/installed 2>/dev/null)" != "${packages[*]}" ]; then
  echo "run.sh: installing ${packages[*]} into $venv"
  rm -rf $venv
  python3 -m venv $venv
  $venv/bin/pip install --quiet --disable-pip-version-check "${packages[@]}"
  echo "${packages[*]}" >$venv/installed
fi
build=${BUILD_DIR:-build}
# Its only dependency is there; --no-index proves it.
$venv/bin/pip install --quiet --disable-pip-version-check --no-index --force-reinstall --no-deps "$build"/wheel/giantrabbit-*.whl
$venv/bin/pip check --disable-pip-version-check

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export TORCHINDUCTOR_FORCE_DISABLE_CACHES=1  # a cached graph does not know that the library has changed
export GR_TRAIN=${GR_TRAIN:-$(pwd)/$build/bin/giantrabbit-train}
$venv/bin/python -m pytest -c tests/interop/pytest.ini tests/interop "$@"
$venv/bin/python python/examples/train_small_model.py
