// Autocast rule of sparse_mask_attention: query, key and value in, the same in autocast's dtype out, as
// LibTorch does for its own attention. Scores, weights and sums are fp32 inside the kernels, so only the
// inputs and the result are rounded; the bias keeps its dtype. fp64 inputs stay fp64.
#include <ATen/autocast_mode.h>

#include "ops/attention_call.h"

namespace giantrabbit::ops {
namespace {

AttentionCall cast_inputs(AttentionCall call) {
  const at::ScalarType dtype = at::autocast::get_autocast_dtype(at::kCPU);
  for (at::Tensor* tensor : {&call.query, &call.key, &call.value}) {
    *tensor = at::autocast::cached_cast(dtype, *tensor, at::kCPU);
  }
  return call;
}

at::Tensor attention_autocast(const AttentionCall& call) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  return call_attention(cast_inputs(call));
}

SupportTensors attention_support_autocast(const AttentionCall& call) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  return call_attention_support(cast_inputs(call));
}

// In the graph the inputs are cast already.
AttentionGradients attention_backward_autocast(const at::Tensor& grad, const AttentionCall& call,
                                               at::TensorList saved, NeededGradients needed) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  return call_attention_backward(grad, call, saved, needed);
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, AutocastCPU, library) {
  library.impl("sparse_mask_attention", TORCH_FN(ForwardArguments::kernel<attention_autocast>));
  library.impl("sparse_mask_attention_support",
               TORCH_FN(ForwardArguments::kernel<attention_support_autocast>));
  library.impl("_sparse_mask_attention_backward",
               TORCH_FN(BackwardArguments::kernel<attention_backward_autocast>));
}

}  // namespace giantrabbit::ops
