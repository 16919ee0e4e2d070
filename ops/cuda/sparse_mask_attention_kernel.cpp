// Registers the CUDA kernels of sparse_mask_attention: result, support and gradients, for every mask, bias
// and normalizer that the CPU kernels take.
#include <ATen/ExpandUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "ops/attention_call.h"
#include "ops/cuda/attention_support.h"

namespace giantrabbit::ops {
namespace {

constexpr const char* kName = "sparse_mask_attention";

at::Tensor checked_result(const char* name, const AttentionCall& call) {
  check_attention_call(name, call);
  return empty_like_heads(call.query, call.result_sizes());
}

at::Tensor attention_cuda(const AttentionCall& call) {
  const at::Tensor result = checked_result(kName, call);
  const c10::DeviceGuard guard(call.query.device());
  cuda::DeviceCall device_call(call);
  cuda::attend(kName, call.normalizer, device_call, result);
  return result;
}

AttentionForTraining attention_forward_cuda(const AttentionCall& call) {
  const at::Tensor result = checked_result(kName, call);
  const c10::DeviceGuard guard(call.query.device());
  cuda::DeviceCall device_call(call);
  const cuda::AttentionSupportTensors support =
      cuda::attend_and_keep(kName, call.normalizer, device_call, result, cuda::Keep::for_backward);
  return {result,
          {support.row_offsets, support.key_indices, support.weights, support.states, support.wide_blocks}};
}

// AttentionSupport::counters: every pair is scored, and every block of queries reads all keys, unless the
// mask hides them.
at::Tensor counters_of(const AttentionCall& call, const at::Tensor& row_offsets) {
  const int64_t blocks = (call.queries() + cuda::kQueriesPerBlock - 1) / cuda::kQueriesPerBlock;
  const int64_t row_bytes = (call.width() + call.value_width()) * call.key.element_size();
  const at::Tensor counters = at::zeros({call.batch(), call.heads(), 6}, row_offsets.options());
  counters.select(-1, 4).fill_(call.queries() * call.keys());
  counters.select(-1, 5).fill_(blocks * call.keys() * row_bytes);
  const at::Tensor support =
      row_offsets.slice(0, 0, std::nullopt, std::max<int64_t>(1, call.queries())).diff();
  if (call.queries() > 0) counters.select(-1, 2).copy_(support.view({call.batch(), call.heads()}));
  return counters;
}

SupportTensors attention_support_cuda(const AttentionCall& call) {
  constexpr const char* kSupportName = "sparse_mask_attention_support";
  const at::Tensor result = checked_result(kSupportName, call);
  const c10::DeviceGuard guard(call.query.device());
  cuda::DeviceCall device_call(call);
  const cuda::AttentionSupportTensors support =
      cuda::attend_and_keep(kSupportName, call.normalizer, device_call, result, cuda::Keep::everything);
  return {result, support.row_offsets, support.key_indices.to(at::kLong), support.weights,
          counters_of(call, support.row_offsets)};
}

AttentionGradients attention_backward_cuda(const at::Tensor& grad, const AttentionCall& call,
                                           at::TensorList saved, NeededGradients needed) {
  check_attention_call(kName, call);
  TORCH_CHECK(grad.sym_sizes() == c10::SymIntArrayRef(call.result_sizes()) &&
                  grad.scalar_type() == call.query.scalar_type() && grad.device() == call.query.device(),
              kName, ": the gradient needs shape ", c10::SymIntArrayRef(call.result_sizes()), " and dtype ",
              call.query.scalar_type(), " on ", call.query.device(), ", got ", grad.sizes(), " and ",
              grad.scalar_type(), " on ", grad.device());
  const c10::DeviceGuard guard(call.query.device());
  cuda::DeviceCall device_call(call);
  cuda::AttentionSupportTensors support;
  if (saved.empty()) {
    support = cuda::attend_and_keep(kName, call.normalizer, device_call, checked_result(kName, call),
                                    cuda::Keep::for_backward);
  } else {
    TORCH_CHECK(saved.size() == 5, kName, ": expected the 5 tensors of the forward pass, got ", saved.size());
    support = {saved[0], saved[1], saved[2], saved[3], saved[4]};
  }
  const auto empty_gradient = [](bool wanted, const at::Tensor& input) {
    return wanted ? empty_like_heads(input, input.sym_sizes()) : at::Tensor();
  };
  AttentionGradients gradients{empty_gradient(needed[0], call.query), empty_gradient(needed[1], call.key),
                               empty_gradient(needed[2], call.value), at::Tensor()};
  at::Tensor& bias_gradient = std::get<3>(gradients);
  if (needed[3] && call.bias) {
    bias_gradient = at::zeros({call.batch(), call.heads(), call.queries(), call.keys()},
                              call.query.options().dtype(cuda::accumulate_type(call.query)));
  }
  cuda::differentiate(kName, call.normalizer, device_call, grad, support, gradients);
  if (bias_gradient.defined()) {
    bias_gradient = at::sum_to(bias_gradient, call.bias->sizes()).to(call.bias->scalar_type());
  }
  return gradients;
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CUDA, library) {
  library.impl("sparse_mask_attention", TORCH_FN(ForwardArguments::kernel<attention_cuda>));
  library.impl("sparse_mask_attention_support", TORCH_FN(ForwardArguments::kernel<attention_support_cuda>));
  library.impl("_sparse_mask_attention_forward", TORCH_FN(ForwardArguments::kernel<attention_forward_cuda>));
  library.impl("_sparse_mask_attention_backward",
               TORCH_FN(BackwardArguments::kernel<attention_backward_cuda>));
}

}  // namespace giantrabbit::ops
