// Attention over the keys that a mask permits, with softmax, sparsemax or entmax-1.5 weights. Exact.
//
//   out[i] = sum_j normalizer(scale * query[i].key[permitted] + bias[i])_j value[j]
//
// Shapes: query [B, H, M, d], key [B, G, N, d], value [B, G, N, e] with H a multiple of G (grouped heads);
// result [B, H, M, e] in the query's dtype. Self- and cross-attention (M != N), any lengths (0 too), any d
// and e, any strides. The row contract of ops/sparsemax.h holds; a key with weight exactly 0 contributes
// nothing, permitted or not, so NaN or infinity in it stays out of the result and of the gradients. Nothing
// of size M x N is kept for backward. Differentiable once (a second derivative throws and names the
// operator). Same bits for any thread count. Errors name the operator, what was expected and the shapes and
// dtypes that came.
#pragma once

#include <optional>

#include <ATen/core/Tensor.h>

#include "ops/normalizer.h"
#include "ops/sparse_mask.h"

namespace giantrabbit::ops {

// Under CPU autocast query, key and value are cast to its dtype; scores, weights and sums stay in fp32.
// scale: factor of the scores; none = 1/sqrt(d). bias: floating, broadcastable to [B, H, M, N], added to the
// scaled scores; -inf = not permitted. Its gradient, and only that, is of size M x N while it is computed.
at::Tensor sparse_mask_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const SparseMask& mask, Normalizer normalizer,
                                 std::optional<double> scale = std::nullopt,
                                 const std::optional<at::Tensor>& bias = std::nullopt);

// The result together with its support in compressed rows: query row r = (b*H + h)*M + i has the keys
// key_indices[row_offsets[r] .. row_offsets[r+1]) (int64, increasing) with the nonzero weights beside them.
// For softmax the support is every permitted key. Not differentiable.
struct AttentionSupport {
  at::Tensor output;       // [B, H, M, e]
  at::Tensor row_offsets;  // [B*H*M + 1] int64
  at::Tensor key_indices;  // [nonzeros] int64
  at::Tensor weights;      // [nonzeros] in the accumulation dtype (fp32, or fp64 for double input)
  // [B, H, 6] int64, pairs of query and key: scored in low precision, scored again in fp32, with a weight,
  // never looked at, scored by the dense path; last, the bytes of codes, keys and values read.
  at::Tensor counters;
};
AttentionSupport sparse_mask_attention_support(const at::Tensor& query, const at::Tensor& key,
                                               const at::Tensor& value, const SparseMask& mask,
                                               Normalizer normalizer,
                                               std::optional<double> scale = std::nullopt);

}  // namespace giantrabbit::ops
