// Products of small bf16 matrices by one warp, with sums in fp32, as the tensor cores make them: PTX's
// mma.m16n8k16 and ldmatrix, which the tests' emulator has too. All lanes of the warp call together. In
// fragments lane 4 g + t holds pairs of neighbours: of a 16 x 16 matrix those of rows g and g + 8 at columns
// 2 t and 2 t + 8, of a 16 x 8 one those of column g at rows 2 t and 2 t + 8, of sums rows g and g + 8 at
// columns 2 t and 2 t + 1.
#pragma once

#include "ops/cuda/device.cuh"

#if !defined(__CUDACC__)
#include <matrix_operations.h>  // the emulator's
#endif

namespace giantrabbit::ops::cuda {

struct LeftMatrix {
  uint32_t pairs[4];  // of rows g, g + 8, g, g + 8; the last two of the higher columns
};

struct RightMatrix {
  uint32_t pairs[2];
};

struct MatrixSums {
  float values[4];  // two of row g, two of row g + 8
};

// sums += left * right. What a device rounds, and in which order it sums, is not defined: see Note [Error of
// the coded scores] in attention_codes.cuh.
__device__ inline void add_product(MatrixSums& sums, const LeftMatrix& left, const RightMatrix& right) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums.values[0]), "+f"(sums.values[1]), "+f"(sums.values[2]), "+f"(sums.values[3])
      : "r"(left.pairs[0]), "r"(left.pairs[1]), "r"(left.pairs[2]), "r"(left.pairs[3]), "r"(right.pairs[0]),
        "r"(right.pairs[1]));
#else
  cuda_emulator::add_matrix_product(sums.values, left.pairs, right.pairs);
#endif
}

// Two right matrices from rows of shared memory that hold their columns: lane 8 n + r brings the address of
// eight numbers of column r (16-byte aligned), of the first matrix for n = 0 and, eight rows on, n = 1, of
// the second for n = 2 and 3.
__device__ inline void load_right_matrices(RightMatrix (&matrices)[2], const __nv_bfloat16* column) {
#if defined(__CUDACC__)
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(column));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(matrices[0].pairs[0]), "=r"(matrices[0].pairs[1]), "=r"(matrices[1].pairs[0]),
                 "=r"(matrices[1].pairs[1])
               : "r"(address)
               : "memory");
#else
  uint32_t words[4];
  cuda_emulator::load_matrices(words, column);
  matrices[0] = {words[0], words[1]};
  matrices[1] = {words[2], words[3]};
#endif
}

}  // namespace giantrabbit::ops::cuda
