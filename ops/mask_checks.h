// Checks that the operators over a SparseMask share: in, a mask and the sizes of its problem; out, nothing or
// one sentence that names the caller, what it expected and what came. Internal to ops/.
#pragma once

#include <array>

#include "ops/sparse_mask.h"

namespace giantrabbit::ops {

using ScoreSizes = std::array<c10::SymInt, 4>;  // [B, H, M, N]

// Shapes, dtypes and devices. Reads no tensor data.
void check_mask(const char* name, const SparseMask& mask, const ScoreSizes& sizes, at::Device device);
// The numbers in contiguous lists of checked shapes on the CPU, for rows of `key_blocks` blocks of keys.
void check_list_numbers(const char* name, const at::Tensor& row_offsets, const at::Tensor& key_indices,
                        int64_t key_blocks);

}  // namespace giantrabbit::ops
