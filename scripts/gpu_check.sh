#!/usr/bin/env bash
# The kernels on a device, in one command of less than ten minutes: builds with CUDA for this machine's device, runs
# the tests of the kernels on it (the same that the emulator runs elsewhere), again under compute-sanitizer where it is
# installed, and times the kernels: alone beside what was predicted, and against LibTorch. --no-build takes the
# programs that BUILD_DIR (default build-gpu) already has; GR_LIBTORCH=<folder> is a LibTorch with CUDA that is already
# there, else the Python index's is completed in .libtorch/. Exit code 0: all passed, 1: not, 77: there is no device.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${BUILD_DIR:-build-gpu}
started=$SECONDS

say() { echo "gpu_check.sh: $* (after $((SECONDS - started)) s)"; }
stop() {
  echo "gpu_check.sh: $2"
  exit "$1"
}

has_device() { nvidia-smi -L 2>/dev/null | grep -q '^GPU '; }

# scripts/build.sh leaves out the wheel's CUDA libraries, which are large and which only a device needs.
complete_libtorch() {
  compgen -G '.libtorch/lib/python3*/site-packages/nvidia/*/lib/libcublas.so.*' >/dev/null && return
  say "installing LibTorch's CUDA libraries"
  .libtorch/bin/pip install --quiet --disable-pip-version-check "$(grep -o 'torch==[0-9.]*' scripts/build.sh)"
}

build_programs() {
  export CUDACXX=${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
  [ -x "$CUDACXX" ] || stop 1 "no nvcc found: install the CUDA Toolkit 13, or name it in CUDACXX"
  BUILD_DIR=$build BUILD_TARGETS="ops_cuda_device ops_cuda_registration cuda_prediction cuda_timing cuda_bench" \
    scripts/build.sh -DGR_CUDA=ON -DGR_TESTS=ON -DGR_BENCH=ON -DCMAKE_CUDA_ARCHITECTURES=native
  [ -n "${GR_LIBTORCH:-}" ] || complete_libtorch
}

# One dtype: every access costs a multiple here.
sanitize() {
  local status=0
  timeout 60 compute-sanitizer --tool "$1" --error-exitcode 1 "$build/bin/ops_cuda_device" \
    --gtest_brief=1 --gtest_filter='*/0.*' || status=$?
  [ $status -ne 124 ] || { say "compute-sanitizer $1 was not done in 60 s" && return; }
  [ $status -eq 0 ] || stop 1 "compute-sanitizer $1 found errors"
  say "compute-sanitizer $1 found nothing"
}

# A program that has nothing to do says so itself; what needs LibTorch may be missing where others built.
run() {
  local status=0
  [ -x "$build/bin/$1" ] || { say "$1 is not in $build/bin: not run" && return; }
  "$build/bin/$1" "${@:2}" || status=$?
  [ $status -eq 0 ] || [ $status -eq 77 ] || stop 1 "$1 failed"
}

case "${1:-}" in
  "" | --no-build) ;;
  *) stop 2 "unknown argument $1; there is --no-build only" ;;
esac
has_device || stop 77 "this machine has no NVIDIA device, nothing was built or tested"
nvidia-smi
if [ "${1:-}" != --no-build ]; then
  build_programs
  say "built"
fi
status=0
"$build/bin/ops_cuda_device" --gtest_brief=1 || status=$?
[ $status -ne 77 ] || stop 1 "the CUDA runtime cannot use this machine's device"
[ $status -eq 0 ] || stop 1 "tests failed on the device"
say "tests passed on the device"
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck synccheck racecheck; do sanitize $tool; done
else
  say "compute-sanitizer is not installed: not run"
fi
run cuda_prediction
run cuda_timing
run ops_cuda_registration --gtest_brief=1
run cuda_bench --seconds 0.1
say "done"
