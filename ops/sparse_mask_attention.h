// Attention over the keys that a mask permits, with softmax, sparsemax or entmax-1.5 weights. Exact.
//
//   out[i] = sum_j normalizer(scale * query[i].key[permitted])_j value[j]
//
// Shapes: query [B, H, M, d], key [B, G, N, d], value [B, G, N, e] with H a multiple of G (grouped heads); result
// [B, H, M, e] in the query's dtype. Self- and cross-attention (M != N), any lengths (0 too), any d and e, any
// strides. The row contract of ops/sparsemax.h holds. Nothing of size M x N is kept for backward. Differentiable once
// (a second derivative throws and names the operator). Same bits for any thread count. Errors name the operator, what
// was expected and the shapes and dtypes that came.
#pragma once

#include <optional>

#include <ATen/core/Tensor.h>

#include "ops/normalizer.h"
#include "ops/sparse_mask.h"

namespace giantrabbit::ops {

// scale: factor of the scores; none = 1/sqrt(d).
at::Tensor sparse_mask_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const SparseMask& mask, Normalizer normalizer,
                                 std::optional<double> scale = std::nullopt);

// The result together with its support in compressed rows: query row r = (b*H + h)*M + i has the keys
// key_indices[row_offsets[r] .. row_offsets[r+1]) (int64, increasing) with the nonzero weights beside them.
// For softmax the support is every permitted key. Not differentiable.
struct AttentionSupport {
  at::Tensor output;       // [B, H, M, e]
  at::Tensor row_offsets;  // [B*H*M + 1] int64
  at::Tensor key_indices;  // [nonzeros] int64
  at::Tensor weights;      // [nonzeros] in the accumulation dtype (fp32, or fp64 for double input)
};
AttentionSupport sparse_mask_attention_support(const at::Tensor& query, const at::Tensor& key,
                                               const at::Tensor& value, const SparseMask& mask,
                                               Normalizer normalizer, std::optional<double> scale = std::nullopt);

// Drop-in forms with LibTorch's own argument names. attn_mask: bool (true = may see) or floating (added to the
// scores, -inf = not permitted), broadcastable to [B, H, M, N]; is_causal aligns to the first key, as
// LibTorch's does, and excludes attn_mask.
at::Tensor sparsemax_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                               const std::optional<at::Tensor>& attn_mask = std::nullopt, bool is_causal = false,
                               std::optional<double> scale = std::nullopt, bool enable_gqa = false);
at::Tensor entmax15_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                              const std::optional<at::Tensor>& attn_mask = std::nullopt, bool is_causal = false,
                              std::optional<double> scale = std::nullopt, bool enable_gqa = false);

}  // namespace giantrabbit::ops
