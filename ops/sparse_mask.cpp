// SparseMask as tensors: in, the rules of a mask and the sizes of a problem (or a bool tensor); out, the bool
// tensor with the rules written out (or the compressed rows of a bool tensor). Invariant:
// dense(from_dense(p)) equals p. Small inputs and references only: these functions cost queries x keys; the
// kernels read the rules directly.
#include "ops/sparse_mask.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "ops/mask_checks.h"

namespace giantrabbit::ops {
namespace {

constexpr const char* kDense = "SparseMask::dense";

// Rows of the lists as [B or 1, H or 1, R+1]; the shorter forms are shared by all heads or by all batches and
// heads.
at::Tensor offsets_per_head(const at::Tensor& row_offsets) {
  if (row_offsets.dim() == 1) return row_offsets.view({1, 1, -1});
  return row_offsets.dim() == 2 ? row_offsets.unsqueeze(1) : row_offsets;
}

at::Tensor listed_keys(const SparseMask& mask, int64_t queries, int64_t keys) {
  const at::Tensor offsets = offsets_per_head(mask.row_offsets->cpu()).contiguous();
  const at::Tensor indices = mask.key_indices->cpu().contiguous();
  const int64_t columns = std::min(mask.block_columns, std::max<int64_t>(keys, 1));
  check_list_numbers(kDense, offsets, indices, (keys + columns - 1) / columns);
  const int64_t rows = offsets.size(2) - 1;
  at::Tensor permitted = at::zeros({offsets.size(0), offsets.size(1), queries, keys}, at::kBool);
  const int64_t* offset = offsets.data_ptr<int64_t>();
  const int64_t* index = indices.data_ptr<int64_t>();
  bool* out = permitted.data_ptr<bool>();
  for (int64_t head = 0; head < offsets.size(0) * offsets.size(1); ++head) {
    for (int64_t query = 0; query < queries; ++query) {
      const int64_t row = head * (rows + 1) + query / mask.block_rows;
      for (int64_t entry = offset[row]; entry < offset[row + 1]; ++entry) {
        const int64_t first = index[entry] * columns;
        const int64_t last = std::min(first + columns, keys);
        std::fill(out + (head * queries + query) * keys + first, out + (head * queries + query) * keys + last,
                  true);
      }
    }
  }
  return permitted.to(mask.row_offsets->device());
}

}  // namespace

at::Tensor SparseMask::dense(int64_t batch, int64_t heads, int64_t queries, int64_t keys) const {
  const at::Device device = row_offsets   ? row_offsets->device()
                            : key_lengths ? key_lengths->device()
                                          : at::kCPU;
  check_mask(kDense, *this, {batch, heads, queries, keys}, device);
  const auto options = at::TensorOptions(device).dtype(at::kLong);
  const at::Tensor column = at::arange(keys, options);
  const at::Tensor diagonal = at::arange(queries, options).unsqueeze(1) + (keys - queries);
  at::Tensor permitted = at::ones({1, 1, queries, keys}, options.dtype(at::kBool));
  if (causal) permitted = permitted.logical_and(column.le(diagonal));
  if (window) permitted = permitted.logical_and((column - diagonal).abs().lt(*window));
  if (key_lengths) {
    permitted = permitted.logical_and(column.lt(key_lengths->view({-1, 1, 1, 1})));
  }
  if (row_offsets) permitted = permitted.logical_and(listed_keys(*this, queries, keys));
  return permitted;
}

SparseMask SparseMask::from_dense(const at::Tensor& permitted) {
  TORCH_CHECK(permitted.scalar_type() == at::kBool && permitted.dim() >= 2 && permitted.dim() <= 4,
              "SparseMask::from_dense: expected bool [M, N], [B, M, N] or [B, H, M, N], got ",
              permitted.scalar_type(), " ", permitted.sizes());
  const at::Tensor counts = permitted.sum(-1);
  const at::Tensor ends = counts.flatten().cumsum(0).view_as(counts);
  SparseMask mask;
  if (counts.size(-1) == 0) {
    auto sizes = counts.sizes().vec();
    sizes.back() = 1;
    mask.row_offsets = at::zeros(sizes, counts.options());
  } else {
    const at::Tensor begins = ends - counts;
    mask.row_offsets = at::cat({begins.narrow(-1, 0, 1), ends}, -1);
  }
  mask.key_indices = permitted.nonzero().select(1, -1).contiguous();
  return mask;
}

}  // namespace giantrabbit::ops
