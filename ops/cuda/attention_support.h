// What attention on a device keeps of its weights for the gradient and for the support operator. In: a call.
// Out: the result and tensors of the call's device. The number of entries is read by the host, once per call,
// because they are allocated; softmax keeps none for its gradient and the host waits for nothing.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/cuda/attention_problem.h"

namespace giantrabbit::ops::cuda {

// For the gradient, rows with more than kMostKeptKeys entries have none here, nor have the rows of a call
// with so many of them that entries of all would not fit: their weights are computed again.
struct AttentionSupportTensors {
  at::Tensor row_offsets;  // [rows + 1] int64
  at::Tensor key_indices;  // [entries] int32, rising inside a row
  at::Tensor weights;      // [entries] in the accumulation dtype
  at::Tensor states;       // [rows, 2] fp64, see KeptRows
  at::Tensor wide_blocks;  // [batch, heads, blocks] int32

  // wide_heads: the largest flag of each head.
  AttentionSupportRows view(const at::Tensor& wide_heads) const {
    return {states.const_data_ptr<double>(),       wide_blocks.const_data_ptr<int32_t>(),
            wide_heads.const_data_ptr<int32_t>(),  row_offsets.const_data_ptr<int64_t>(),
            key_indices.const_data_ptr<int32_t>(), weights.const_data_ptr()};
  }
};

enum class Keep { for_backward, everything };

// Writes the result.
void attend(const char* op, Normalizer normalizer, DeviceCall& call, const at::Tensor& result);
AttentionSupportTensors attend_and_keep(const char* op, Normalizer normalizer, DeviceCall& call,
                                        const at::Tensor& result, Keep keep);

// Fills the gradients that are defined; the last one, of the scores, is [B, H, M, N] in the accumulation
// dtype and zero before.
void differentiate(const char* op, Normalizer normalizer, DeviceCall& call, const at::Tensor& result_grad,
                   const AttentionSupportTensors& support, const AttentionGradients& gradients);

}  // namespace giantrabbit::ops::cuda
