// Registers the CUDA kernels of sparsemax and entmax-1.5: any dim and strides; rows are made contiguous
// first.
#include <ATen/MemoryOverlap.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/cpu/row_result.h"
#include "ops/cuda/tensors.h"

namespace giantrabbit::ops {
namespace {

constexpr const char* forward_name(Normalizer normalizer) {
  return normalizer == Normalizer::sparsemax ? "sparsemax" : "entmax15";
}

constexpr const char* backward_name(Normalizer normalizer) {
  return normalizer == Normalizer::sparsemax ? "sparsemax_backward" : "entmax15_backward";
}

at::Tensor as_rows(const at::Tensor& tensor, int64_t axis) { return tensor.movedim(axis, -1).contiguous(); }

at::Tensor from_rows(const at::Tensor& rows, int64_t axis) { return rows.movedim(-1, axis).contiguous(); }

template <Normalizer normalizer>
at::Tensor forward_kernel(const at::Tensor& scores, int64_t dim) {
  const int64_t axis = check_rows(forward_name(normalizer), scores, dim);
  const c10::DeviceGuard guard(scores.device());
  const at::Tensor rows = as_rows(scores, axis);
  const at::Tensor weights = at::empty_like(rows);
  cuda::check_launch(forward_name(normalizer),
                     cuda::launch_normalize_rows(normalizer, cuda::dtype_of(rows), cuda::rows_of(rows),
                                                 rows.const_data_ptr(), weights.mutable_data_ptr(),
                                                 cuda::current_stream(rows)));
  return from_rows(weights, axis);
}

template <Normalizer normalizer>
at::Tensor backward_kernel(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  const char* const op = backward_name(normalizer);
  const int64_t axis = check_rows(op, weights, dim);
  check_same_shape_and_dtype(op, "grad", grad, "weights", weights);
  const c10::DeviceGuard guard(weights.device());
  const at::Tensor grad_rows = as_rows(grad, axis);
  const at::Tensor rows = as_rows(weights, axis);
  const at::Tensor result = at::empty_like(rows);
  cuda::check_launch(
      op, cuda::launch_normalize_rows_backward(normalizer, cuda::dtype_of(rows), cuda::rows_of(rows),
                                               grad_rows.const_data_ptr(), rows.const_data_ptr(),
                                               result.mutable_data_ptr(), cuda::current_stream(rows)));
  return from_rows(result, axis);
}

// The kernels' results may not overlap their operands, so out= is a copy.
template <Normalizer normalizer>
at::Tensor& forward_out_kernel(const at::Tensor& scores, int64_t dim, at::Tensor& out) {
  check_rows(forward_name(normalizer), scores, dim);
  prepare_result(forward_name(normalizer), scores, out);
  return out.copy_(forward_kernel<normalizer>(scores, dim));
}

template <Normalizer normalizer>
at::Tensor& backward_out_kernel(const at::Tensor& grad, const at::Tensor& weights, int64_t dim,
                                at::Tensor& out) {
  check_rows(backward_name(normalizer), weights, dim);
  prepare_result(backward_name(normalizer), weights, out);
  at::assert_no_partial_overlap(out, grad);
  return out.copy_(backward_kernel<normalizer>(grad, weights, dim));
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CUDA, library) {
  library.impl("sparsemax", TORCH_FN(forward_kernel<Normalizer::sparsemax>));
  library.impl("entmax15", TORCH_FN(forward_kernel<Normalizer::entmax15>));
  library.impl("sparsemax.out", TORCH_FN(forward_out_kernel<Normalizer::sparsemax>));
  library.impl("entmax15.out", TORCH_FN(forward_out_kernel<Normalizer::entmax15>));
  library.impl("_sparsemax_backward", TORCH_FN(backward_kernel<Normalizer::sparsemax>));
  library.impl("_entmax15_backward", TORCH_FN(backward_kernel<Normalizer::entmax15>));
  library.impl("_sparsemax_backward.out", TORCH_FN(backward_out_kernel<Normalizer::sparsemax>));
  library.impl("_entmax15_backward.out", TORCH_FN(backward_out_kernel<Normalizer::entmax15>));
}

}  // namespace giantrabbit::ops
