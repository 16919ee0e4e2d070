// Mixed precision rule of sparsemax and entmax-1.5: 16-bit rows are computed, and returned, in fp32, as
// LibTorch does for softmax. Double stays double.
#include <ATen/autocast_mode.h>
#include <torch/library.h>

#include "ops/sparsemax.h"

namespace giantrabbit::ops {
namespace {

at::Tensor in_fp32(const at::Tensor& tensor) {
  return at::autocast::cached_cast(at::kFloat, tensor, c10::DeviceType::CPU);
}

template <auto op>
at::Tensor forward_autocast(const at::Tensor& scores, int64_t dim) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  return op(in_fp32(scores), dim);
}

template <auto op>
at::Tensor backward_autocast(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  return op(in_fp32(grad), in_fp32(weights), dim);
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, AutocastCPU, library) {
  library.impl("sparsemax", TORCH_FN(forward_autocast<sparsemax>));
  library.impl("entmax15", TORCH_FN(forward_autocast<entmax15>));
  library.impl("_sparsemax_backward", TORCH_FN(backward_autocast<sparsemax_backward>));
  library.impl("_entmax15_backward", TORCH_FN(backward_autocast<entmax15_backward>));
}

}  // namespace giantrabbit::ops
