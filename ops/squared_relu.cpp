// Schemas, dispatcher calls and shape rules of squared_relu. Kernels: cpu/, derivatives: autograd/.
#include "ops/squared_relu.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/operator_handle.h"

namespace giantrabbit::ops {
namespace {

at::Tensor squared_relu_meta(const at::Tensor& x) {
  check_floating("squared_relu", x);
  return at::empty_symint(x.sym_sizes(), x.options());
}

at::Tensor squared_relu_backward_meta(const at::Tensor& grad, const at::Tensor& x) {
  check_floating("squared_relu_backward", x);
  check_same_shape_and_dtype("squared_relu_backward", "grad", grad, "x", x);
  return at::empty_symint(x.sym_sizes(), x.options());
}

}  // namespace

at::Tensor squared_relu(const at::Tensor& x) {
  static const auto op = find_operator<at::Tensor(const at::Tensor&)>("giantrabbit::squared_relu");
  return op.call(x);
}

at::Tensor squared_relu_backward(const at::Tensor& grad, const at::Tensor& x) {
  using Signature = at::Tensor(const at::Tensor&, const at::Tensor&);
  static const auto op = find_operator<Signature>("giantrabbit::_squared_relu_backward");
  return op.call(grad, x);
}

TORCH_LIBRARY_FRAGMENT(giantrabbit, library) {
  library.def("squared_relu(Tensor x) -> Tensor");
  library.def("_squared_relu_backward(Tensor grad, Tensor x) -> Tensor");
}

TORCH_LIBRARY_IMPL(giantrabbit, Meta, library) {
  library.impl("squared_relu", TORCH_FN(squared_relu_meta));
  library.impl("_squared_relu_backward", TORCH_FN(squared_relu_backward_meta));
}

}  // namespace giantrabbit::ops
