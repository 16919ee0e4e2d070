// The definition of sparse_mask_attention: dense scores, -inf where the mask forbids, normalize, multiply.
// In, the operator's arguments; out, its result. Finite inputs only: 0 times NaN is NaN here.
#include "ops/reference/sparse_mask_attention.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include "ops/reference/sparsemax.h"

namespace giantrabbit::ops::reference {
namespace {

// Rows without a permitted key: softmax of zeros, then zeros, so that neither value nor gradient is NaN.
at::Tensor softmax(const at::Tensor& scores) {
  const at::Tensor empty = scores.detach().isneginf().all(-1, /*keepdim=*/true);
  return scores.masked_fill(empty, 0.0).softmax(-1).masked_fill(empty, 0.0);
}

at::Tensor repeat_heads(const at::Tensor& tensor, int64_t heads) {
  if (tensor.size(1) == heads) return tensor;
  return tensor.repeat_interleave(heads / tensor.size(1), 1);
}

}  // namespace

at::Tensor attention_weights(const at::Tensor& query, const at::Tensor& key, const SparseMask& mask,
                             Normalizer normalizer, std::optional<double> scale,
                             const std::optional<at::Tensor>& bias) {
  const double width = static_cast<double>(query.size(3));
  const double factor = scale.value_or(width == 0.0 ? 1.0 : 1.0 / std::sqrt(width));
  at::Tensor scores = query.matmul(repeat_heads(key, query.size(1)).transpose(2, 3)) * factor;
  if (bias) scores = scores + *bias;
  const at::Tensor permitted = mask.dense(query.size(0), query.size(1), query.size(2), key.size(2));
  scores = scores.masked_fill(permitted.logical_not(), -std::numeric_limits<double>::infinity());
  if (normalizer == Normalizer::softmax) return softmax(scores);
  return normalizer == Normalizer::sparsemax ? sparsemax(scores) : entmax15(scores);
}

at::Tensor sparse_mask_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const SparseMask& mask, Normalizer normalizer, std::optional<double> scale,
                                 const std::optional<at::Tensor>& bias) {
  return attention_weights(query, key, mask, normalizer, scale, bias)
      .matmul(repeat_heads(value, query.size(1)));
}

}  // namespace giantrabbit::ops::reference
