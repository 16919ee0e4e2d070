// Schemas, dispatcher calls and shape rules of sparsemax and entmax-1.5. Rows in, rows of the same shape and
// dtype out, contiguous. Kernels: cpu/, derivatives: autograd/, definition: reference/.
#include "ops/sparsemax.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/cpu/row_result.h"
#include "ops/operator_handle.h"

namespace giantrabbit::ops {
namespace {

using Forward = at::Tensor(const at::Tensor&, int64_t);
using ForwardOut = at::Tensor&(const at::Tensor&, int64_t, at::Tensor&);
using Backward = at::Tensor(const at::Tensor&, const at::Tensor&, int64_t);
using BackwardOut = at::Tensor&(const at::Tensor&, const at::Tensor&, int64_t, at::Tensor&);

template <class Signature>
c10::TypedOperatorHandle<Signature> find_out_overload(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "out").typed<Signature>();
}

// The names in messages.
constexpr char kSparsemax[] = "sparsemax";
constexpr char kEntmax15[] = "entmax15";
constexpr char kSparsemaxBackward[] = "sparsemax_backward";
constexpr char kEntmax15Backward[] = "entmax15_backward";

template <const char* op>
at::Tensor forward_meta(const at::Tensor& scores, int64_t dim) {
  check_rows(op, scores, dim);
  return at::empty_symint(scores.sym_sizes(), scores.options());
}

template <const char* op>
at::Tensor& forward_out_meta(const at::Tensor& scores, int64_t dim, at::Tensor& out) {
  check_rows(op, scores, dim);
  prepare_result(op, scores, out);
  return out;
}

template <const char* op>
at::Tensor backward_meta(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  check_rows(op, weights, dim);
  check_same_shape_and_dtype(op, "grad", grad, "weights", weights);
  return at::empty_symint(weights.sym_sizes(), weights.options());
}

template <const char* op>
at::Tensor& backward_out_meta(const at::Tensor& grad, const at::Tensor& weights, int64_t dim,
                              at::Tensor& out) {
  check_rows(op, weights, dim);
  check_same_shape_and_dtype(op, "grad", grad, "weights", weights);
  prepare_result(op, weights, out);
  return out;
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

at::Tensor& sparsemax_out(at::Tensor& out, const at::Tensor& scores, int64_t dim) {
  static const auto op = find_out_overload<ForwardOut>("giantrabbit::sparsemax");
  return op.call(scores, dim, out);
}

at::Tensor& entmax15_out(at::Tensor& out, const at::Tensor& scores, int64_t dim) {
  static const auto op = find_out_overload<ForwardOut>("giantrabbit::entmax15");
  return op.call(scores, dim, out);
}

at::Tensor sparsemax_backward(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  static const auto op = find_operator<Backward>("giantrabbit::_sparsemax_backward");
  return op.call(grad, weights, dim);
}

at::Tensor entmax15_backward(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  static const auto op = find_operator<Backward>("giantrabbit::_entmax15_backward");
  return op.call(grad, weights, dim);
}

at::Tensor& sparsemax_backward_out(at::Tensor& out, const at::Tensor& grad, const at::Tensor& weights,
                                   int64_t dim) {
  static const auto op = find_out_overload<BackwardOut>("giantrabbit::_sparsemax_backward");
  return op.call(grad, weights, dim, out);
}

at::Tensor& entmax15_backward_out(at::Tensor& out, const at::Tensor& grad, const at::Tensor& weights,
                                  int64_t dim) {
  static const auto op = find_out_overload<BackwardOut>("giantrabbit::_entmax15_backward");
  return op.call(grad, weights, dim, out);
}

TORCH_LIBRARY_FRAGMENT(giantrabbit, library) {
  library.def("sparsemax(Tensor scores, int dim=-1) -> Tensor");
  library.def("entmax15(Tensor scores, int dim=-1) -> Tensor");
  library.def("_sparsemax_backward(Tensor grad, Tensor weights, int dim) -> Tensor");
  library.def("_entmax15_backward(Tensor grad, Tensor weights, int dim) -> Tensor");
  // The tag tells tracers that `out` is written and not read, so that they can trace these too. dim has no
  // default: Inductor puts an out= overload of equal arguments in the place of the other one, and then writes
  // an argument with a default twice.
  const auto define_out = [&](const char* schema) { library.def(schema, {at::Tag::out}); };
  define_out("sparsemax.out(Tensor scores, int dim, *, Tensor(a!) out) -> Tensor(a!)");
  define_out("entmax15.out(Tensor scores, int dim, *, Tensor(a!) out) -> Tensor(a!)");
  define_out(
      "_sparsemax_backward.out(Tensor grad, Tensor weights, int dim, *, Tensor(a!) out) -> Tensor(a!)");
  define_out("_entmax15_backward.out(Tensor grad, Tensor weights, int dim, *, Tensor(a!) out) -> Tensor(a!)");
}

TORCH_LIBRARY_IMPL(giantrabbit, Meta, library) {
  library.impl("sparsemax", TORCH_FN(forward_meta<kSparsemax>));
  library.impl("entmax15", TORCH_FN(forward_meta<kEntmax15>));
  library.impl("sparsemax.out", TORCH_FN(forward_out_meta<kSparsemax>));
  library.impl("entmax15.out", TORCH_FN(forward_out_meta<kEntmax15>));
  library.impl("_sparsemax_backward", TORCH_FN(backward_meta<kSparsemaxBackward>));
  library.impl("_entmax15_backward", TORCH_FN(backward_meta<kEntmax15Backward>));
  library.impl("_sparsemax_backward.out", TORCH_FN(backward_out_meta<kSparsemaxBackward>));
  library.impl("_entmax15_backward.out", TORCH_FN(backward_out_meta<kEntmax15Backward>));
}

}  // namespace giantrabbit::ops
