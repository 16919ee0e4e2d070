// Schemas, dispatcher calls and shape rules of sparsemax and entmax-1.5. Rows in, rows of the same shape and
// dtype out, contiguous. Kernels: cpu/, derivatives: autograd/, definition: reference/.
#include "ops/sparsemax.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/operator_handle.h"

namespace giantrabbit::ops {
namespace {

using Forward = at::Tensor(const at::Tensor&, int64_t);
using Backward = at::Tensor(const at::Tensor&, const at::Tensor&, int64_t);

at::Tensor normalizer_meta(const char* op, const at::Tensor& scores, int64_t dim) {
  check_rows(op, scores, dim);
  return at::empty_symint(scores.sym_sizes(), scores.options());
}

at::Tensor backward_meta(const char* op, const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  check_rows(op, weights, dim);
  check_same_shape_and_dtype(op, "grad", grad, "weights", weights);
  return at::empty_symint(weights.sym_sizes(), weights.options());
}

at::Tensor sparsemax_meta(const at::Tensor& scores, int64_t dim) {
  return normalizer_meta("sparsemax", scores, dim);
}

at::Tensor entmax15_meta(const at::Tensor& scores, int64_t dim) {
  return normalizer_meta("entmax15", scores, dim);
}

at::Tensor sparsemax_backward_meta(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  return backward_meta("sparsemax_backward", grad, weights, dim);
}

at::Tensor entmax15_backward_meta(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  return backward_meta("entmax15_backward", grad, weights, dim);
}

}  // namespace

at::Tensor sparsemax(const at::Tensor& scores, int64_t dim) {
  static const auto op = find_operator<Forward>("giantrabbit::sparsemax");
  return op.call(scores, dim);
}

at::Tensor entmax15(const at::Tensor& scores, int64_t dim) {
  static const auto op = find_operator<Forward>("giantrabbit::entmax15");
  return op.call(scores, dim);
}

at::Tensor sparsemax_backward(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  static const auto op = find_operator<Backward>("giantrabbit::_sparsemax_backward");
  return op.call(grad, weights, dim);
}

at::Tensor entmax15_backward(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  static const auto op = find_operator<Backward>("giantrabbit::_entmax15_backward");
  return op.call(grad, weights, dim);
}

TORCH_LIBRARY_FRAGMENT(giantrabbit, library) {
  library.def("sparsemax(Tensor scores, int dim=-1) -> Tensor");
  library.def("entmax15(Tensor scores, int dim=-1) -> Tensor");
  library.def("_sparsemax_backward(Tensor grad, Tensor weights, int dim) -> Tensor");
  library.def("_entmax15_backward(Tensor grad, Tensor weights, int dim) -> Tensor");
}

TORCH_LIBRARY_IMPL(giantrabbit, Meta, library) {
  library.impl("sparsemax", TORCH_FN(sparsemax_meta));
  library.impl("entmax15", TORCH_FN(entmax15_meta));
  library.impl("_sparsemax_backward", TORCH_FN(sparsemax_backward_meta));
  library.impl("_entmax15_backward", TORCH_FN(entmax15_backward_meta));
}

}  // namespace giantrabbit::ops
