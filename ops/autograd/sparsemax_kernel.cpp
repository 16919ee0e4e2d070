// Derivatives of sparsemax and entmax-1.5, first and second; the out= overloads have none. The weights are
// all that backward reads, so they are all that is saved. Both Jacobians J are symmetric:
//   sparsemax: J depends on the support alone, hence the derivative of J g with respect to the weights is 0;
//   entmax15:  with s = sqrt(p), J g = s * (g - q), q = sum(s g) / sum(s), r = sum(s v) / sum(s):
//              d<v, J g>/ds = (g - q) * (v - r), and ds/dp = 1 / (2 s).
#include <ATen/OpMathType.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/VariableTypeUtils.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/sparsemax.h"

namespace giantrabbit::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <auto forward_op, auto backward_op>
struct NormalizerFunction : torch::autograd::Function<NormalizerFunction<forward_op, backward_op>> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& scores, int64_t dim) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const at::Tensor weights = forward_op(scores, dim);
    context->saved_data["dim"] = dim;
    context->save_for_backward({weights});
    return weights;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const at::Tensor weights = context->get_saved_variables()[0];
    return {backward_op(grads[0], weights, context->saved_data["dim"].toInt()), at::Tensor()};
  }
};

template <auto backward_op, auto weights_gradient>
struct NormalizerBackwardFunction
    : torch::autograd::Function<NormalizerBackwardFunction<backward_op, weights_gradient>> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& grad, const at::Tensor& weights,
                            int64_t dim) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->saved_data["dim"] = dim;
    context->save_for_backward({grad, weights});
    return backward_op(grad, weights, dim);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const int64_t dim = context->saved_data["dim"].toInt();
    return {backward_op(grads[0], saved[1], dim), weights_gradient(grads[0], saved[0], saved[1], dim),
            at::Tensor()};
  }
};

at::Tensor sparsemax_weights_gradient(const at::Tensor&, const at::Tensor&, const at::Tensor&, int64_t) {
  return {};
}

// Plain ATen operations, so that higher derivatives need no further formula.
at::Tensor entmax15_weights_gradient(const at::Tensor& outer, const at::Tensor& grad,
                                     const at::Tensor& weights, int64_t dim) {
  const auto accumulated = at::toOpMathType(weights.scalar_type());
  const at::Tensor support = weights.ne(0);
  const at::Tensor zero = at::zeros({}, weights.options().dtype(accumulated));
  const at::Tensor root = at::where(support, weights.to(accumulated), zero + 1).sqrt();  // no 1/0 outside
  const at::Tensor inside = at::where(support, root, zero);
  const at::Tensor total = inside.sum(dim, /*keepdim=*/true);
  const auto centred = [&](const at::Tensor& values) {
    const at::Tensor kept = at::where(support, values.to(accumulated), zero);
    return kept - (inside * kept).sum(dim, /*keepdim=*/true) / at::where(total.ne(0), total, zero + 1);
  };
  return at::where(support, centred(grad) * centred(outer) / (2 * root), zero).to(weights.scalar_type());
}

using SparsemaxFunction = NormalizerFunction<sparsemax, sparsemax_backward>;
using Entmax15Function = NormalizerFunction<entmax15, entmax15_backward>;
using SparsemaxBackwardFunction = NormalizerBackwardFunction<sparsemax_backward, sparsemax_weights_gradient>;
using Entmax15BackwardFunction = NormalizerBackwardFunction<entmax15_backward, entmax15_weights_gradient>;

at::Tensor sparsemax_autograd(const at::Tensor& scores, int64_t dim) {
  return SparsemaxFunction::apply(scores, dim);
}

at::Tensor entmax15_autograd(const at::Tensor& scores, int64_t dim) {
  return Entmax15Function::apply(scores, dim);
}

at::Tensor sparsemax_backward_autograd(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  return SparsemaxBackwardFunction::apply(grad, weights, dim);
}

at::Tensor entmax15_backward_autograd(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  return Entmax15BackwardFunction::apply(grad, weights, dim);
}

// out= has no derivative: where one is asked for, LibTorch's own message says so.
template <auto out_op, class... Inputs>
at::Tensor& out_autograd(const char* op, at::Tensor& out, int64_t dim, const Inputs&... inputs) {
  using torch::autograd::compute_requires_grad;
  if (compute_requires_grad(inputs..., out)) torch::autograd::throw_error_out_requires_grad(op);
  const at::AutoDispatchBelowAutograd below_autograd;
  return out_op(out, inputs..., dim);
}

at::Tensor& sparsemax_out_autograd(const at::Tensor& scores, int64_t dim, at::Tensor& out) {
  return out_autograd<sparsemax_out>("sparsemax", out, dim, scores);
}

at::Tensor& entmax15_out_autograd(const at::Tensor& scores, int64_t dim, at::Tensor& out) {
  return out_autograd<entmax15_out>("entmax15", out, dim, scores);
}

at::Tensor& sparsemax_backward_out_autograd(const at::Tensor& grad, const at::Tensor& weights, int64_t dim,
                                            at::Tensor& out) {
  return out_autograd<sparsemax_backward_out>("sparsemax_backward", out, dim, grad, weights);
}

at::Tensor& entmax15_backward_out_autograd(const at::Tensor& grad, const at::Tensor& weights, int64_t dim,
                                           at::Tensor& out) {
  return out_autograd<entmax15_backward_out>("entmax15_backward", out, dim, grad, weights);
}

// Whoever saved `out` for a backward pass learns that it was written.
template <auto out_op>
at::Tensor& forward_out_written(const at::Tensor& scores, int64_t dim, at::Tensor& out) {
  const at::AutoDispatchBelowADInplaceOrView below;
  out_op(out, scores, dim);
  torch::autograd::increment_version(out);
  return out;
}

template <auto out_op>
at::Tensor& backward_out_written(const at::Tensor& grad, const at::Tensor& weights, int64_t dim,
                                 at::Tensor& out) {
  const at::AutoDispatchBelowADInplaceOrView below;
  out_op(out, grad, weights, dim);
  torch::autograd::increment_version(out);
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, ADInplaceOrView, library) {
  library.impl("sparsemax.out", TORCH_FN(forward_out_written<sparsemax_out>));
  library.impl("entmax15.out", TORCH_FN(forward_out_written<entmax15_out>));
  library.impl("_sparsemax_backward.out", TORCH_FN(backward_out_written<sparsemax_backward_out>));
  library.impl("_entmax15_backward.out", TORCH_FN(backward_out_written<entmax15_backward_out>));
}

TORCH_LIBRARY_IMPL(giantrabbit, Autograd, library) {
  library.impl("sparsemax.out", TORCH_FN(sparsemax_out_autograd));
  library.impl("entmax15.out", TORCH_FN(entmax15_out_autograd));
  library.impl("_sparsemax_backward.out", TORCH_FN(sparsemax_backward_out_autograd));
  library.impl("_entmax15_backward.out", TORCH_FN(entmax15_backward_out_autograd));
  library.impl("sparsemax", TORCH_FN(sparsemax_autograd));
  library.impl("entmax15", TORCH_FN(entmax15_autograd));
  library.impl("_sparsemax_backward", TORCH_FN(sparsemax_backward_autograd));
  library.impl("_entmax15_backward", TORCH_FN(entmax15_backward_autograd));
}

}  // namespace giantrabbit::ops
