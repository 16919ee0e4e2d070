// Exact sparse attention on the CPU: sparsemax and entmax-1.5 weights without computing most scores.
#pragma once

#include "ops/attention_call.h"

namespace giantrabbit::ops::cpu {

// The support of a call as its backward pass needs it.
struct SparseSupport {
  at::Tensor row_offsets;  // [B H M + 1] int64
  at::Tensor key_indices;  // [nonzeros] int32, rising inside a row
  at::Tensor weights;      // [nonzeros] fp32
  // [B, H, exact::QueryBlocks] int64: -1, or for a wide block without entries its place in wide_weights
  at::Tensor wide_blocks;
  at::Tensor wide_weights;  // [places, kBlockQueries, exact::kept_row()] fp32; [0, kBlockQueries, 0] where
                            // none are needed or they are too many
  at::Tensor counters;      // [B, H, 6] int64, as in exact::Counters
};

// What is left of the weights: nothing, what the backward pass can use, or all that are not 0 as entries.
enum class Keep { nothing, for_backward, everything };

// Whether the exact path takes a call: sparse weights, no bias, fp32 or 16-bit floats, keys worth coding.
bool exact_applies(const AttentionCall& call);

// Fills the output, and what it returns unless `keep` is nothing.
SparseSupport exact_forward(const AttentionCall& call, at::Tensor& output, Keep keep);

// Fills the gradients that are defined.
void exact_backward(const at::Tensor& grad, const AttentionCall& call, const SparseSupport& support,
                    AttentionGradients& gradients);

// fp32 rows with unit stride and widths that are multiples of 16, padded with zeros; the scale is set.
AttentionCall float_rows(const AttentionCall& call);
at::Tensor float_rows(const at::Tensor& tensor);

}  // namespace giantrabbit::ops::cpu
