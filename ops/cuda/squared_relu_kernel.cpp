// Registers the CUDA kernels of squared_relu.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/cuda/tensors.h"

namespace giantrabbit::ops {
namespace {

at::Tensor squared_relu_kernel(const at::Tensor& x) {
  check_floating("squared_relu", x);
  const c10::DeviceGuard guard(x.device());
  const at::Tensor plain = x.contiguous();
  const at::Tensor result = at::empty_like(plain);
  cuda::check_launch("squared_relu",
                     cuda::launch_squared_relu(cuda::dtype_of(plain), plain.numel(), plain.const_data_ptr(),
                                               result.mutable_data_ptr(), cuda::current_stream(plain)));
  return result;
}

at::Tensor squared_relu_backward_kernel(const at::Tensor& grad, const at::Tensor& x) {
  check_floating("squared_relu_backward", x);
  check_same_shape_and_dtype("squared_relu_backward", "grad", grad, "x", x);
  const c10::DeviceGuard guard(x.device());
  const at::Tensor plain_grad = grad.contiguous();
  const at::Tensor plain = x.contiguous();
  const at::Tensor result = at::empty_like(plain);
  cuda::check_launch("squared_relu_backward",
                     cuda::launch_squared_relu_backward(
                         cuda::dtype_of(plain), plain.numel(), plain_grad.const_data_ptr(),
                         plain.const_data_ptr(), result.mutable_data_ptr(), cuda::current_stream(plain)));
  return result;
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CUDA, library) {
  library.impl("squared_relu", TORCH_FN(squared_relu_kernel));
  library.impl("_squared_relu_backward", TORCH_FN(squared_relu_backward_kernel));
}

}  // namespace giantrabbit::ops
