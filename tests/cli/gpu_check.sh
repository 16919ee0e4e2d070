#!/usr/bin/env bash
# scripts/gpu_check.sh with a device and programs that only pretend: what it says and returns without a device, when
# tests fail on it, when the sanitizer does, and when all is well. Usage: gpu_check.sh PATH/TO/scripts/gpu_check.sh
set -u
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
failures=0
report() { echo "FAILED: $1"; sed 's/^/    /' "$folder/text"; failures=$((failures + 1)); }

mkdir -p "$folder/scripts" "$folder/build/bin" "$folder/path"
cp "$1" "$folder/scripts/gpu_check.sh"

# pretend FILE CODE TEXT: a program that says so and returns the code.
pretend() {
  printf '#!/bin/sh\necho "%s"\nexit %d\n' "$3" "$2" >"$folder/$1"
  chmod +x "$folder/$1"
}

# expect CODE PART ARGUMENTS..
expect() {
  local code=$1 part=$2
  shift 2
  PATH=$folder/path:$PATH BUILD_DIR=build "$folder/scripts/gpu_check.sh" "$@" >"$folder/text" 2>&1
  local actual=$?
  [ $actual -eq "$code" ] || report "gpu_check.sh $*: exit code $actual instead of $code"
  grep -qF -e "$part" "$folder/text" || report "gpu_check.sh $*: no '$part'"
}

pretend path/nvidia-smi 9 "NVIDIA-SMI has failed"
expect 77 "this machine has no NVIDIA device" --no-build
expect 2 "unknown argument --nobuild" --nobuild

pretend path/nvidia-smi 0 "GPU 0: a device"
pretend build/bin/ops_cuda_device 77 "no CUDA device"
expect 1 "cannot use this machine's device" --no-build
pretend build/bin/ops_cuda_device 1 "a test failed"
expect 1 "tests failed on the device" --no-build

pretend build/bin/ops_cuda_device 0 "all passed"
for program in cuda_prediction cuda_timing; do pretend build/bin/$program 0 "$program ran"; done
pretend build/bin/cuda_bench 77 "no LibTorch with CUDA"
pretend path/compute-sanitizer 1 "a race"
expect 1 "compute-sanitizer memcheck found errors" --no-build
pretend path/compute-sanitizer 0 "clean"
expect 0 "compute-sanitizer racecheck found nothing" --no-build
for part in "tests passed on the device" "cuda_timing ran" "ops_cuda_registration is not in build/bin: not run" \
  "no LibTorch with CUDA" "done"; do
  grep -qF -e "$part" "$folder/text" || report "gpu_check.sh --no-build: no '$part'"
done
pretend build/bin/cuda_bench 1 "softmax differs"
expect 1 "cuda_bench failed" --no-build

# Building: the kernels for this device, with what build.sh takes.
pretend build/bin/cuda_bench 0 "timed"
pretend path/nvcc 0 ""
# shellcheck disable=SC2016  # for the program to expand
pretend scripts/build.sh 0 'build.sh $* with $BUILD_TARGETS'
GR_LIBTORCH=elsewhere expect 0 "-DGR_CUDA=ON -DGR_TESTS=ON -DGR_BENCH=ON -DCMAKE_CUDA_ARCHITECTURES=native with ops_cuda_device"

[ $failures -eq 0 ] && echo "all checks of gpu_check.sh passed"
exit $failures
