// Mixed precision rule of squared_relu: it runs in the dtype that comes, as LibTorch's relu does.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "ops/squared_relu.h"

namespace giantrabbit::ops {
namespace {

at::Tensor squared_relu_autocast(const at::Tensor& x) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  return squared_relu(x);
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, AutocastCPU, library) {
  library.impl("squared_relu", TORCH_FN(squared_relu_autocast));
}

}  // namespace giantrabbit::ops
