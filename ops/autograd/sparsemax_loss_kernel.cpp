// Derivatives of the Fenchel-Young losses. Only logits and targets are saved: backward computes the weights
// again, which costs one pass, and through the differentiable row operator, which gives the second derivative
// for nothing.
#include <ATen/OpMathType.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/ones_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/sparsemax.h"
#include "ops/sparsemax_loss.h"

namespace giantrabbit::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <auto loss_op, auto normalizer_op>
struct LossFunction : torch::autograd::Function<LossFunction<loss_op, normalizer_op>> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& logits, const at::Tensor& target) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({logits, target});
    return loss_op(logits, target);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    return {sparsemax_loss_backward(grads[0], normalizer_op(saved[0], -1), saved[1]), at::Tensor()};
  }
};

// The result is linear in grad, and in the weights of the rows that count.
struct LossBackwardFunction : torch::autograd::Function<LossBackwardFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& grad, const at::Tensor& weights,
                            const at::Tensor& target) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({grad, weights, target});
    return sparsemax_loss_backward(grad, weights, target);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& grad = saved[0];
    const at::Tensor& weights = saved[1];
    const at::Tensor& target = saved[2];
    const at::Tensor residual = sparsemax_loss_backward(at::ones_like(grad), weights, target);
    const at::Tensor counted = target.ne(kIgnoredTarget).to(grad.scalar_type());
    return {(grads[0] * residual).sum(-1), grads[0] * (grad * counted).unsqueeze(-1), at::Tensor()};
  }
};

// 16-bit logits are widened here, so that the cast is part of the graph and the weights of backward are fp32
// too. Dtypes that no kernel takes go on unchanged, to be refused.
template <auto loss_op, auto normalizer_op>
at::Tensor loss_autograd(const at::Tensor& logits, const at::Tensor& target) {
  const at::ScalarType dtype = logits.scalar_type();
  const at::Tensor wide = is_computed(dtype) ? logits.to(at::toOpMathType(dtype)) : logits;
  return LossFunction<loss_op, normalizer_op>::apply(wide, target);
}

at::Tensor backward_autograd(const at::Tensor& grad, const at::Tensor& weights, const at::Tensor& target) {
  return LossBackwardFunction::apply(grad, weights, target);
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, Autograd, library) {
  library.impl("sparsemax_loss", TORCH_FN((loss_autograd<sparsemax_loss, sparsemax>)));
  library.impl("entmax15_loss", TORCH_FN((loss_autograd<entmax15_loss, entmax15>)));
  library.impl("_sparsemax_loss_backward", TORCH_FN(backward_autograd));
}

}  // namespace giantrabbit::ops
