// Schemas, dispatcher calls and shape rules of the Fenchel-Young losses: logits [.., V] and targets [..] in,
// losses
// [..] out. Kernels: cpu/, derivatives: autograd/, definition: reference/.
#include "ops/sparsemax_loss.h"

#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/operator_handle.h"

namespace giantrabbit::ops {
namespace {

using LossForward = at::Tensor(const at::Tensor&, const at::Tensor&);
using LossBackward = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&);

at::Tensor loss_meta(const char* op, const at::Tensor& logits, const at::Tensor& target) {
  check_targets(op, logits, target);
  return at::empty_symint(target.sym_sizes(), logits.options().dtype(at::toOpMathType(logits.scalar_type())));
}

at::Tensor sparsemax_loss_meta(const at::Tensor& logits, const at::Tensor& target) {
  return loss_meta("sparsemax_loss", logits, target);
}

at::Tensor entmax15_loss_meta(const at::Tensor& logits, const at::Tensor& target) {
  return loss_meta("entmax15_loss", logits, target);
}

at::Tensor loss_backward_meta(const at::Tensor& grad, const at::Tensor& weights, const at::Tensor& target) {
  check_loss_backward(grad, weights, target);
  return at::empty_symint(weights.sym_sizes(), weights.options());
}

}  // namespace

at::Tensor sparsemax_loss(const at::Tensor& logits, const at::Tensor& target) {
  static const auto op = find_operator<LossForward>("giantrabbit::sparsemax_loss");
  return op.call(logits, target);
}

at::Tensor entmax15_loss(const at::Tensor& logits, const at::Tensor& target) {
  static const auto op = find_operator<LossForward>("giantrabbit::entmax15_loss");
  return op.call(logits, target);
}

at::Tensor sparsemax_loss_backward(const at::Tensor& grad, const at::Tensor& weights,
                                   const at::Tensor& target) {
  static const auto op = find_operator<LossBackward>("giantrabbit::_sparsemax_loss_backward");
  return op.call(grad, weights, target);
}

TORCH_LIBRARY_FRAGMENT(giantrabbit, library) {
  library.def("sparsemax_loss(Tensor logits, Tensor target) -> Tensor");
  library.def("entmax15_loss(Tensor logits, Tensor target) -> Tensor");
  library.def("_sparsemax_loss_backward(Tensor grad, Tensor weights, Tensor target) -> Tensor");
}

TORCH_LIBRARY_IMPL(giantrabbit, Meta, library) {
  library.impl("sparsemax_loss", TORCH_FN(sparsemax_loss_meta));
  library.impl("entmax15_loss", TORCH_FN(entmax15_loss_meta));
  library.impl("_sparsemax_loss_backward", TORCH_FN(loss_backward_meta));
}

}  // namespace giantrabbit::ops
