// The CPU kernels of sparse_mask_attention by element type: in, a checked call; out, the results. Every
// element of a result is written by one thread in a fixed order, so bits do not depend on the number of
// threads.
#pragma once

#include "ops/attention_call.h"

namespace giantrabbit::ops::cpu {

// Room for all weights of a call, [B, H, M, N in whole paddings] in the accumulation dtype, where rows are so
// short that keeping them for the backward pass costs less than computing them again; else undefined. Zeros:
// no block writes all columns, and saved tensors are the same for the same call.
at::Tensor room_for_weights(const AttentionCall& call);

// T: float, double, c10::BFloat16, c10::Half. `weights`, if defined, receives what the backward pass takes.
template <class T>
void attention_forward(const AttentionCall& call, at::Tensor& output, const at::Tensor& weights);

// The counters stay undefined.
template <class T>
SupportTensors attention_support(const AttentionCall& call, at::Tensor& output);

// Fills the gradients that are defined; the last one, of the scores, is [B, H, M, N] in the accumulation
// dtype. `weights`: as attention_forward() left them; undefined: they are computed.
template <class T>
void attention_backward(const at::Tensor& grad, const AttentionCall& call, const at::Tensor& weights,
                        AttentionGradients& gradients);

}  // namespace giantrabbit::ops::cpu
