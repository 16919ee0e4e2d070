// Checks that operators share. Every message names the operator, what was expected and what came. They are
// called by the CPU and the Meta kernels, so that calls through the dispatcher (TorchScript, Python) are
// checked too.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

namespace giantrabbit::ops {

// The dtypes that the kernels compute with.
constexpr bool is_computed(at::ScalarType dtype) {
  return dtype == at::kFloat || dtype == at::kDouble || dtype == at::kBFloat16 || dtype == at::kHalf;
}

inline void check_floating(const char* op, const at::Tensor& tensor) {
  TORCH_CHECK(is_computed(tensor.scalar_type()), op,
              ": expected a floating dtype of Float, Double, BFloat16 and Half, got ", tensor.scalar_type());
}

// For operators over the rows along one dimension; returns the dimension counted from the front.
inline int64_t check_rows(const char* op, const at::Tensor& rows, int64_t dim) {
  check_floating(op, rows);
  TORCH_CHECK(rows.dim() > 0, op, ": expected at least one dimension, got a scalar");
  TORCH_CHECK_INDEX(-rows.dim() <= dim && dim < rows.dim(), op, ": expected a dim in [", -rows.dim(), ", ",
                    rows.dim() - 1, "], got ", dim);
  return dim < 0 ? dim + rows.dim() : dim;
}

inline void check_same_shape_and_dtype(const char* op, const char* first_name, const at::Tensor& first,
                                       const char* second_name, const at::Tensor& second) {
  TORCH_CHECK(first.sym_sizes() == second.sym_sizes() && first.scalar_type() == second.scalar_type(), op,
              ": ", first_name, " and ", second_name, " need equal shapes and dtypes, got ", first_name, " ",
              first.sym_sizes(), " ", first.scalar_type(), " and ", second_name, " ", second.sym_sizes(), " ",
              second.scalar_type());
}

constexpr int64_t kIgnoredTarget = -100;  // a row with this class number has loss 0 and gradient 0

// For losses over the last dimension: one class number per row.
inline void check_targets(const char* op, const at::Tensor& rows, const at::Tensor& target) {
  check_rows(op, rows, -1);
  TORCH_CHECK(target.scalar_type() == at::kLong, op, ": expected an int64 target, got ",
              target.scalar_type());
  const auto leading = rows.sym_sizes().slice(0, rows.dim() - 1);
  TORCH_CHECK(target.sym_sizes() == leading, op, ": expected one target per row, got rows ", rows.sym_sizes(),
              " and target ", target.sym_sizes());
}

inline void check_loss_backward(const at::Tensor& grad, const at::Tensor& weights, const at::Tensor& target) {
  constexpr const char* kOp = "sparsemax_loss_backward";
  check_targets(kOp, weights, target);
  TORCH_CHECK(weights.scalar_type() == at::kFloat || weights.scalar_type() == at::kDouble, kOp,
              ": expected float or double weights, got ", weights.scalar_type());
  TORCH_CHECK(grad.sym_sizes() == target.sym_sizes() && grad.scalar_type() == weights.scalar_type(), kOp,
              ": grad needs the target's shape and the weights' dtype, got grad ", grad.sym_sizes(), " ",
              grad.scalar_type(), ", target ", target.sym_sizes(), " and weights ", weights.scalar_type());
}

}  // namespace giantrabbit::ops
