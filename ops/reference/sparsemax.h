// sparsemax and entmax-1.5 written with plain, differentiable ATen operations: the definition that kernels
// are tested against. Same arguments and row contract as ops/sparsemax.h; slow, and derivatives of any order
// through autograd.
#pragma once

#include <ATen/core/Tensor.h>

namespace giantrabbit::ops::reference {

at::Tensor sparsemax(const at::Tensor& scores, int64_t dim = -1);
at::Tensor entmax15(const at::Tensor& scores, int64_t dim = -1);

// tau of each row relative to the row's maximum, with the dimension kept: sparsemax has p = max(z - max(z) -
// tau, 0). Rows without a permitted entry have -1.
at::Tensor sparsemax_threshold(const at::Tensor& scores, int64_t dim = -1);

}  // namespace giantrabbit::ops::reference
