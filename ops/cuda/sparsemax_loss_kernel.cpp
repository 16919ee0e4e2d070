// Registers the CUDA kernels of the Fenchel-Young losses. Reading the targets' values would stop the device,
// so a target that is no class gives NaN in its row where the CPU kernel throws.
#include <ATen/OpMathType.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/cuda/tensors.h"

namespace giantrabbit::ops {
namespace {

template <Normalizer normalizer>
at::Tensor loss_kernel(const at::Tensor& logits, const at::Tensor& target) {
  constexpr const char* kOp = normalizer == Normalizer::sparsemax ? "sparsemax_loss" : "entmax15_loss";
  check_targets(kOp, logits, target);
  const c10::DeviceGuard guard(logits.device());
  const at::Tensor rows = logits.to(at::toOpMathType(logits.scalar_type())).contiguous();
  const at::Tensor targets = target.to(logits.device()).contiguous();
  const at::Tensor losses = at::empty(target.sizes(), rows.options());
  cuda::check_launch(
      kOp, cuda::launch_row_losses(normalizer, cuda::dtype_of(rows), {targets.numel(), rows.size(-1)},
                                   rows.const_data_ptr(), targets.const_data_ptr<int64_t>(),
                                   losses.mutable_data_ptr(), cuda::current_stream(rows)));
  return losses;
}

at::Tensor loss_backward_kernel(const at::Tensor& grad, const at::Tensor& weights, const at::Tensor& target) {
  check_loss_backward(grad, weights, target);
  const c10::DeviceGuard guard(weights.device());
  const at::Tensor row_grads = grad.contiguous();
  const at::Tensor rows = weights.contiguous();
  const at::Tensor targets = target.to(weights.device()).contiguous();
  const at::Tensor grad_logits = at::empty_like(rows);
  cuda::check_launch("sparsemax_loss_backward",
                     cuda::launch_row_losses_backward(
                         cuda::dtype_of(rows), {targets.numel(), rows.size(-1)}, row_grads.const_data_ptr(),
                         rows.const_data_ptr(), targets.const_data_ptr<int64_t>(),
                         grad_logits.mutable_data_ptr(), cuda::current_stream(rows)));
  return grad_logits;
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CUDA, library) {
  library.impl("sparsemax_loss", TORCH_FN(loss_kernel<Normalizer::sparsemax>));
  library.impl("entmax15_loss", TORCH_FN(loss_kernel<Normalizer::entmax15>));
  library.impl("_sparsemax_loss_backward", TORCH_FN(loss_backward_kernel));
}

}  // namespace giantrabbit::ops
