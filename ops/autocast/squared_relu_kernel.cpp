// Mixed precision rule of squared_relu: it runs in the dtype that comes, as LibTorch's relu does.
#include "ops/autocast/rules.h"
#include "ops/squared_relu.h"

namespace giantrabbit::ops {
namespace {

template <c10::DeviceType device>
at::Tensor squared_relu_autocast(const at::Tensor& x) {
  const WithoutAutocast<device> guard;
  return squared_relu(x);
}

template <c10::DeviceType device>
void add_squared_relu_rules(torch::Library& library) {
  library.impl("squared_relu", TORCH_FN(squared_relu_autocast<device>));
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, AutocastCPU, library) { add_squared_relu_rules<at::kCPU>(library); }
TORCH_LIBRARY_IMPL(giantrabbit, AutocastCUDA, library) { add_squared_relu_rules<at::kCUDA>(library); }

}  // namespace giantrabbit::ops
