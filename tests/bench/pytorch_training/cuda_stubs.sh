#!/bin/sh
# Usage: cuda_stubs.sh TORCH_FOLDER OUTPUT_FOLDER. Makes stand-ins for the CUDA libraries that libtorch_python.so and
# what it loads are linked with but that this machine lacks, so that `import torch` works without their 2 GB of wheels.
# Every stand-in function ends the program; the CPU kernels call none of them, and LibTorch's own files stay untouched.
set -eu
torch=$1
output=$2
mkdir -p "$output"
lib=$torch/lib
users="$lib/libtorch_python.so $lib/libtorch_cuda.so $lib/libtorch_cuda_linalg.so $lib/libtorch_nvshmem.so"

# Names that are needed and that nothing present defines.
for file in $users; do nm -D --undefined-only "$file"; done | awk '{ sub(/@.*/, "", $2); print $2 }' |
  grep -E '^(cu|nccl|nvrtc|nvshmem)' | sort -u > "$output/needed"
for file in "$lib"/*.so "$torch"/../nvidia/*/lib/libcudart.so* "$torch"/../nvidia/*/lib/libcupti.so*; do
  nm -D --defined-only "$file"
done | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u > "$output/defined"
{
  echo '#include <stdio.h>'
  echo '#include <stdlib.h>'
  echo '#define STUB(name) void name(void) { puts("CUDA stand-in called: " #name); abort(); }'
  comm -23 "$output/needed" "$output/defined" | sed 's/.*/STUB(&)/'
} > "$output/stubs.c"
cc -shared -fPIC -O1 -o "$output/libcuda_stubs.so" "$output/stubs.c"

# One file under all the missing names.
for file in $users; do readelf -d "$file"; done | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | sort -u |
  grep -E '^lib(cu|nccl|nvrtc|nvshmem)' | grep -vE '^lib(cudart|cupti)\.' | while read -r name; do
    ln -sf libcuda_stubs.so "$output/$name"
  done
