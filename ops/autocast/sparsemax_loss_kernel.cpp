// Mixed precision rule of the Fenchel-Young losses: 16-bit logits are computed in fp32, as LibTorch does for
// cross-entropy. Double stays double.
#include <ATen/autocast_mode.h>
#include <torch/library.h>

#include "ops/sparsemax_loss.h"

namespace giantrabbit::ops {
namespace {

at::Tensor logits_in_fp32(const at::Tensor& tensor) {
  return at::autocast::cached_cast(at::kFloat, tensor, c10::DeviceType::CPU);
}

template <auto op>
at::Tensor loss_autocast(const at::Tensor& logits, const at::Tensor& target) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  return op(logits_in_fp32(logits), target);
}

at::Tensor loss_backward_autocast(const at::Tensor& grad, const at::Tensor& weights,
                                  const at::Tensor& target) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  return sparsemax_loss_backward(logits_in_fp32(grad), logits_in_fp32(weights), target);
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, AutocastCPU, library) {
  library.impl("sparsemax_loss", TORCH_FN(loss_autocast<sparsemax_loss>));
  library.impl("entmax15_loss", TORCH_FN(loss_autocast<entmax15_loss>));
  library.impl("_sparsemax_loss_backward", TORCH_FN(loss_backward_autocast));
}

}  // namespace giantrabbit::ops
