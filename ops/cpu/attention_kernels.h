// The CPU kernels of sparse_mask_attention by element type: in, a checked call; out, the results. Every
// element of a result is written by one thread in a fixed order, so bits do not depend on the number of
// threads.
#pragma once

#include "ops/attention_call.h"

namespace giantrabbit::ops::cpu {

// T: float, double, c10::BFloat16, c10::Half.
template <class T>
void attention_forward(const AttentionCall& call, at::Tensor& output);

// The counters stay undefined.
template <class T>
SupportTensors attention_support(const AttentionCall& call, at::Tensor& output);

// Fills the gradients that are defined; the last one, of the scores, is [B, H, M, N] in the accumulation
// dtype.
template <class T>
void attention_backward(const at::Tensor& grad, const AttentionCall& call, AttentionGradients& gradients);

}  // namespace giantrabbit::ops::cpu
