// Projections and heads around sparse_mask_attention; see multi_head_attention.h. Kept invariant: scores,
// masks and normalisers are the operator's own business, here are only products with matrices and views.
#include "ops/multi_head_attention.h"

#include <ATen/Functions.h>

#include "ops/checks.h"
#include "ops/sparse_mask_attention.h"

namespace giantrabbit::ops {
namespace {

void check_vectors(const char* name, const at::Tensor& x) {
  TORCH_CHECK(x.dim() == 3, name, ": expected x [B, N, D], got ", x.sizes());
  check_floating(name, x);
}

void check_matrix(const char* name, const char* role, const at::Tensor& matrix, const at::Tensor& input,
                  int64_t rows) {
  TORCH_CHECK(matrix.dim() == 2 && matrix.size(0) == rows, name, ": the ", role, " matrix needs ", rows,
              " rows, got ", matrix.sizes());
  TORCH_CHECK(matrix.scalar_type() == input.scalar_type(), name, ": the ", role, " matrix needs x's dtype ",
              input.scalar_type(), ", got ", matrix.scalar_type());
}

// x [B, N, D] times a matrix [D, H d] -> [B, H, N, d].
at::Tensor project(const char* name, const char* role, const at::Tensor& x, const at::Tensor& matrix,
                   int64_t heads) {
  check_matrix(name, role, matrix, x, x.size(2));
  TORCH_CHECK(heads > 0 && matrix.size(1) % heads == 0, name, ": the ", role, " matrix needs a multiple of ",
              heads, " heads as columns, got ", matrix.sizes());
  return at::matmul(x, matrix).unflatten(-1, {heads, matrix.size(1) / heads}).transpose(1, 2);
}

}  // namespace

WeightedAttention masked_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                   const SparseMask& mask, Normalizer normalizer) {
  const at::Tensor output = sparse_mask_attention(query, key, value, mask, normalizer);
  // Row j of the identity as the value of key j: the result is the row of weights itself.
  const int64_t keys = key.size(2);
  const at::Tensor unit_values =
      at::eye(keys, value.options()).expand({key.size(0), key.size(1), keys, keys});
  return {output, sparse_mask_attention(query, key, unit_values, mask, normalizer)};
}

WeightedAttention self_attention(const at::Tensor& x, const at::Tensor& query_matrix,
                                 const at::Tensor& key_matrix, const at::Tensor& value_matrix,
                                 const SparseMask& mask, Normalizer normalizer) {
  constexpr const char* name = "self_attention";
  check_vectors(name, x);
  const WeightedAttention head =
      masked_attention(project(name, "query", x, query_matrix, 1), project(name, "key", x, key_matrix, 1),
                       project(name, "value", x, value_matrix, 1), mask, normalizer);
  return {head.output.squeeze(1), head.weights.squeeze(1)};
}

WeightedAttention multi_head_attention(const at::Tensor& x, const MultiHeadMatrices& matrices, int64_t heads,
                                       const SparseMask& mask, Normalizer normalizer) {
  constexpr const char* name = "multi_head_attention";
  check_vectors(name, x);
  const WeightedAttention all = masked_attention(
      project(name, "query", x, matrices.query, heads), project(name, "key", x, matrices.key, heads),
      project(name, "value", x, matrices.value, heads), mask, normalizer);
  const at::Tensor joined = all.output.transpose(1, 2).flatten(2);  // [B, N, H e]
  check_matrix(name, "output", matrices.out, x, joined.size(2));
  return {at::matmul(joined, matrices.out), all.weights};
}

}  // namespace giantrabbit::ops
