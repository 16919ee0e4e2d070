// Autocast rule of sparse_mask_attention: query, key and value in, the same in autocast's dtype out, as
// LibTorch does for its own attention. Scores, weights and sums are fp32 inside the kernels, so only the
// inputs and the result are rounded; the bias keeps its dtype. fp64 inputs stay fp64.
#include "ops/attention_call.h"
#include "ops/autocast/rules.h"

namespace giantrabbit::ops {
namespace {

template <c10::DeviceType device>
AttentionCall cast_inputs(AttentionCall call) {
  const at::ScalarType dtype = at::autocast::get_autocast_dtype(device);
  for (at::Tensor* tensor : {&call.query, &call.key, &call.value}) {
    *tensor = at::autocast::cached_cast(dtype, *tensor, device);
  }
  return call;
}

template <c10::DeviceType device>
at::Tensor attention_autocast(const AttentionCall& call) {
  const WithoutAutocast<device> guard;
  return call_attention(cast_inputs<device>(call));
}

template <c10::DeviceType device>
SupportTensors attention_support_autocast(const AttentionCall& call) {
  const WithoutAutocast<device> guard;
  return call_attention_support(cast_inputs<device>(call));
}

// In the graph the inputs are cast already.
template <c10::DeviceType device>
AttentionGradients attention_backward_autocast(const at::Tensor& grad, const AttentionCall& call,
                                               at::TensorList saved, NeededGradients needed) {
  const WithoutAutocast<device> guard;
  return call_attention_backward(grad, call, saved, needed);
}

template <c10::DeviceType device>
void add_attention_rules(torch::Library& library) {
  library.impl("sparse_mask_attention", TORCH_FN(ForwardArguments::kernel<attention_autocast<device>>));
  library.impl("sparse_mask_attention_support",
               TORCH_FN(ForwardArguments::kernel<attention_support_autocast<device>>));
  library.impl("_sparse_mask_attention_backward",
               TORCH_FN(BackwardArguments::kernel<attention_backward_autocast<device>>));
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, AutocastCPU, library) { add_attention_rules<at::kCPU>(library); }
TORCH_LIBRARY_IMPL(giantrabbit, AutocastCUDA, library) { add_attention_rules<at::kCUDA>(library); }

}  // namespace giantrabbit::ops
