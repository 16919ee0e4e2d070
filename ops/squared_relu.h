// max(x, 0)^2, the activation of the feed-forward networks (So et al. 2021), read and written once in each
// direction. NaN stays NaN, -inf gives 0, +inf gives +inf. fp32, fp64 and the 16-bit floating dtypes, any
// shape and strides; the result is contiguous and has the input's dtype. Differentiable twice.
#pragma once

#include <ATen/core/Tensor.h>

namespace giantrabbit::ops {

// Throws c10::Error for other dtypes.
at::Tensor squared_relu(const at::Tensor& x);

// 2 max(x, 0) grad. Throws c10::Error when the shapes or dtypes differ.
at::Tensor squared_relu_backward(const at::Tensor& grad, const at::Tensor& x);

}  // namespace giantrabbit::ops
