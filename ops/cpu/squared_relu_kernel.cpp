// squared_relu on the CPU: one pass over contiguous memory, which bounds it, so plain loops suffice. 16-bit
// values are computed in fp32.
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/checks.h"

namespace giantrabbit::ops {
namespace {

constexpr int64_t kGrain = 1 << 15;  // elements per task: some ten microseconds

// Written so that NaN, which compares false, passes through.
template <class Math>
Math positive_part(Math x) {
  return x < Math(0) ? Math(0) : x;
}

at::Tensor squared_relu_kernel(const at::Tensor& x) {
  check_floating("squared_relu", x);
  const at::Tensor plain = x.contiguous();
  at::Tensor result = at::empty(x.sizes(), x.options());
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "squared_relu", [&] {
    using Math = at::opmath_type<scalar_t>;
    const scalar_t* in = plain.const_data_ptr<scalar_t>();
    scalar_t* out = result.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, x.numel(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Math kept = positive_part(static_cast<Math>(in[i]));
        out[i] = static_cast<scalar_t>(kept * kept);
      }
    });
  });
  return result;
}

at::Tensor squared_relu_backward_kernel(const at::Tensor& grad, const at::Tensor& x) {
  check_floating("squared_relu_backward", x);
  check_same_shape_and_dtype("squared_relu_backward", "grad", grad, "x", x);
  const at::Tensor plain_grad = grad.contiguous();
  const at::Tensor plain = x.contiguous();
  at::Tensor result = at::empty(x.sizes(), x.options());
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "squared_relu_backward", [&] {
    using Math = at::opmath_type<scalar_t>;
    const scalar_t* outer = plain_grad.const_data_ptr<scalar_t>();
    const scalar_t* in = plain.const_data_ptr<scalar_t>();
    scalar_t* out = result.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, x.numel(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Math slope = 2 * positive_part(static_cast<Math>(in[i]));
        out[i] = static_cast<scalar_t>(slope * static_cast<Math>(outer[i]));
      }
    });
  });
  return result;
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CPU, library) {
  library.impl("squared_relu", TORCH_FN(squared_relu_kernel));
  library.impl("_squared_relu_backward", TORCH_FN(squared_relu_backward_kernel));
}

}  // namespace giantrabbit::ops
