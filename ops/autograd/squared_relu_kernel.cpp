// Derivatives of squared_relu: the input is all that backward reads. The second derivative is left to
// LibTorch: a backward that must itself be differentiated is computed from its operators.
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/relu.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/squared_relu.h"

namespace giantrabbit::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct SquaredReluFunction : torch::autograd::Function<SquaredReluFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({x});
    return squared_relu(x);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    return {squared_relu_backward(grads[0], context->get_saved_variables()[0])};
  }
};

at::Tensor squared_relu_autograd(const at::Tensor& x) { return SquaredReluFunction::apply(x); }

at::Tensor squared_relu_backward_autograd(const at::Tensor& grad, const at::Tensor& x) {
  if (at::GradMode::is_enabled() && (grad.requires_grad() || x.requires_grad()))
    return 2 * at::relu(x) * grad;
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  return squared_relu_backward(grad, x);
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, Autograd, library) {
  library.impl("squared_relu", TORCH_FN(squared_relu_autograd));
  library.impl("_squared_relu_backward", TORCH_FN(squared_relu_backward_autograd));
}

}  // namespace giantrabbit::ops
