// A checked call of sparse_mask_attention as the launches want it: in, an AttentionCall; out, plain numbers
// and device pointers, and the tensors that own what they point to. The numbers in lengths and lists are not
// read here: the kernels follow none that is out of range.
#pragma once

#include <algorithm>

#include <ATen/core/Tensor.h>

#include "ops/attention_call.h"
#include "ops/cuda/tensors.h"

namespace giantrabbit::ops::cuda {

// Scores, weights and sums: fp32 for fp32 and the 16-bit types, fp64 for fp64.
inline at::ScalarType accumulate_type(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Neighbouring columns next to each other, whatever the other strides are.
inline at::Tensor with_plain_columns(const at::Tensor& tensor) {
  return tensor.stride(3) == 1 || tensor.size(3) <= 1 ? tensor : tensor.contiguous();
}

inline HeadsLayout layout_of(const at::Tensor& tensor) {
  return {tensor.stride(0), tensor.stride(1), tensor.stride(2)};
}

class DeviceCall {
 public:
  explicit DeviceCall(const AttentionCall& call)
      : query(with_plain_columns(call.query)),
        key(with_plain_columns(call.key)),
        value(with_plain_columns(call.value)),
        problem{call.batch(),
                call.heads(),
                call.key_heads(),
                call.queries(),
                call.keys(),
                call.width(),
                call.value_width(),
                layout_of(query),
                layout_of(key),
                layout_of(value),
                {},
                call.score_scale(),
                call.mask.causal,
                std::min(call.mask.window.value_or(0), call.queries() + call.keys()),
                nullptr} {
    set_mask(call.mask);
    if (call.bias) set_bias(*call.bias);
  }

  // The result, or its gradient.
  void set_result(const at::Tensor& result) { problem.result = layout_of(result); }
  Dtype dtype() const { return dtype_of(query); }
  void* stream() const { return current_stream(query); }
  int64_t rows() const { return problem.batch * problem.heads * problem.queries; }

  at::Tensor query;
  at::Tensor key;
  at::Tensor value;
  AttentionProblem problem;

 private:
  void set_mask(const SparseMask& mask) {
    if (mask.key_lengths) {
      lengths_ = mask.key_lengths->contiguous();
      problem.key_lengths = lengths_.const_data_ptr<int64_t>();
    }
    if (!mask.row_offsets) return;
    offsets_ = mask.row_offsets->contiguous();
    indices_ = mask.key_indices->contiguous();
    problem.lists = {offsets_.const_data_ptr<int64_t>(),
                     indices_.const_data_ptr<int64_t>(),
                     indices_.numel(),
                     offsets_.dim() >= 2 ? offsets_.stride(0) : 0,
                     offsets_.dim() == 3 ? offsets_.stride(1) : 0,
                     mask.block_rows,
                     std::min(mask.block_columns, std::max<int64_t>(problem.keys, 1))};
  }

  void set_bias(const at::Tensor& added) {
    bias_ = added.to(accumulate_type(query))
                .expand({problem.batch, problem.heads, problem.queries, problem.keys});
    problem.bias = {bias_.const_data_ptr(), layout_of(bias_), bias_.stride(3)};
  }

  at::Tensor lengths_;
  at::Tensor offsets_;
  at::Tensor indices_;
  at::Tensor bias_;
};

}  // namespace giantrabbit::ops::cuda
