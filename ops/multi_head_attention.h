// Attention as textbooks write it, with its weights: in, vectors, projection matrices and a mask; out, the
// result and the weights, both differentiable. Scaled dot-product and multi-head attention are those of
// Vaswani et al. 2017 ("Attention is all you need", 3.2). The functions are compositions of
// sparse_mask_attention (mask, row contract, exactness, determinism: see there): a key that the mask forbids
// has weight exactly 0, and a row without any permitted key has weights, result and gradient 0. Weights take
// memory of size M x N; models, which do not need them, call the operator itself.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/normalizer.h"
#include "ops/sparse_mask.h"

namespace giantrabbit::ops {

struct WeightedAttention {
  at::Tensor output;
  at::Tensor weights;  // each row sums to 1, or is 0 where nothing is permitted
};

// weights = normalizer(query key^T / sqrt(d)), output = weights value.
// query [B, H, M, d], key [B, H, N, d], value [B, H, N, e] -> output [B, H, M, e], weights [B, H, M, N].
WeightedAttention masked_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                   const SparseMask& mask = {}, Normalizer normalizer = Normalizer::softmax);

// One head over x [B, N, D] with query_matrix and key_matrix [D, d] and value_matrix [D, e]: query = x
// query_matrix and so on -> output [B, N, e], weights [B, N, N]. The scale is that of d, not of D.
WeightedAttention self_attention(const at::Tensor& x, const at::Tensor& query_matrix,
                                 const at::Tensor& key_matrix, const at::Tensor& value_matrix,
                                 const SparseMask& mask = {}, Normalizer normalizer = Normalizer::softmax);

// H heads side by side in the columns of query_matrix and key_matrix [D, H d] and value_matrix [D, H e];
// their results are joined and multiplied by out_matrix [H e, F] -> output [B, N, F], weights [B, H, N, N].
struct MultiHeadMatrices {
  at::Tensor query, key, value, out;
};
WeightedAttention multi_head_attention(const at::Tensor& x, const MultiHeadMatrices& matrices, int64_t heads,
                                       const SparseMask& mask = {},
                                       Normalizer normalizer = Normalizer::softmax);

}  // namespace giantrabbit::ops
