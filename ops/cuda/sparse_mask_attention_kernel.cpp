// Registers the CUDA kernel of sparse_mask_attention: forward only, for masks without lists and scores
// without bias. Gradients have no CUDA kernel; the dispatcher says so where one is asked for.
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include "ops/attention_call.h"
#include "ops/cuda/tensors.h"

namespace giantrabbit::ops {
namespace {

// Neighbouring columns next to each other, whatever the other strides are.
at::Tensor with_plain_columns(const at::Tensor& tensor) {
  return tensor.stride(3) == 1 || tensor.size(3) <= 1 ? tensor : tensor.contiguous();
}

cuda::HeadsLayout layout_of(const at::Tensor& tensor) {
  return {tensor.stride(0), tensor.stride(1), tensor.stride(2)};
}

at::Tensor attention_cuda(const AttentionCall& call) {
  constexpr const char* kOp = "sparse_mask_attention";
  check_attention_call(kOp, call);
  TORCH_CHECK_NOT_IMPLEMENTED(!call.bias && !call.mask.row_offsets, kOp,
                              ": the CUDA kernel takes neither a bias nor lists of keys");
  const c10::DeviceGuard guard(call.query.device());
  const at::Tensor query = with_plain_columns(call.query);
  const at::Tensor key = with_plain_columns(call.key);
  const at::Tensor value = with_plain_columns(call.value);
  at::Tensor lengths;
  if (call.mask.key_lengths) lengths = call.mask.key_lengths->contiguous();
  const at::Tensor result =
      empty_like_heads(query, {call.batch(), call.heads(), call.queries(), call.value_width()});
  const cuda::AttentionProblem problem{call.batch(),
                                       call.heads(),
                                       call.key_heads(),
                                       call.queries(),
                                       call.keys(),
                                       call.width(),
                                       call.value_width(),
                                       layout_of(query),
                                       layout_of(key),
                                       layout_of(value),
                                       layout_of(result),
                                       call.score_scale(),
                                       call.mask.causal,
                                       call.mask.window.value_or(0),
                                       lengths.defined() ? lengths.const_data_ptr<int64_t>() : nullptr};
  if (result.numel() == 0) return result;
  cuda::check_launch(
      kOp, cuda::launch_attention(call.normalizer, cuda::dtype_of(query), problem, query.const_data_ptr(),
                                  key.const_data_ptr(), value.const_data_ptr(), result.mutable_data_ptr(),
                                  cuda::current_stream(query)));
  return result;
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CUDA, library) {
  library.impl("sparse_mask_attention", TORCH_FN(ForwardArguments::kernel<attention_cuda>));
}

}  // namespace giantrabbit::ops
