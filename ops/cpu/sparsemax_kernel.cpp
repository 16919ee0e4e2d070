// CPU kernels of sparsemax and entmax-1.5: any dim, any strides. Contiguous rows of the accumulation dtype go
// straight from the input to the result; others are brought together in a buffer first. Rows are independent,
// so the result does not depend on the number of threads.
#include <algorithm>
#include <memory>
#include <type_traits>

#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/cpu/row_normalizer.h"
#include "ops/cpu/row_result.h"

namespace giantrabbit::ops {
namespace {

// A contiguous tensor seen from one dimension: entry j of row (o, i) lies at (o * n + j) * inner + i.
struct RowLayout {
  int64_t outer = 1;
  int64_t n = 1;
  int64_t inner = 1;

  RowLayout(at::IntArrayRef sizes, int64_t dim) : n(sizes[dim]) {
    for (int64_t axis = 0; axis < dim; ++axis) outer *= sizes[axis];
    for (size_t axis = dim + 1; axis < sizes.size(); ++axis) inner *= sizes[axis];
  }
};

constexpr int64_t kTile = 16;  // neighbouring rows handled together: whole cache lines when inner > 1
// Half of a usual last-level cache: such a result pushes itself out before anybody reads it.
constexpr int64_t kStreamedBytes = int64_t{16} << 20;
constexpr int64_t kGrain = 32768;  // entries per thread at least, so that waking a thread pays

// Calls function(offset of the first row's first entry, rows in the tile, buffer) for every tile, in
// parallel. The buffer holds `copies` tiles and is the thread's own.
template <class Accumulated, class Function>
void for_each_tile(const RowLayout& layout, int64_t copies, const Function& function) {
  const int64_t tiles = (layout.inner + kTile - 1) / kTile;
  const int64_t tile_size = layout.n * std::min(layout.inner, kTile);
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, tile_size));
  at::parallel_for(0, layout.outer * tiles, grain, [&](int64_t begin, int64_t end) {
    const std::unique_ptr<Accumulated[]> buffer(new Accumulated[copies * tile_size]);
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t first = tile % tiles * kTile;
      function(tile / tiles * layout.n * layout.inner + first, std::min(kTile, layout.inner - first),
               buffer.get());
    }
  });
}

// Calls function(offset) for every row of a layout whose rows are contiguous, in parallel.
template <class Function>
void for_each_row(const RowLayout& layout, const Function& function) {
  at::parallel_for(0, layout.outer, std::max<int64_t>(1, kGrain / layout.n), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) function(row * layout.n);
  });
}

template <class Stored, class Accumulated>
void gather(const Stored* from, const RowLayout& layout, int64_t rows, Accumulated* to) {
  for (int64_t j = 0; j < layout.n; ++j) {
    for (int64_t row = 0; row < rows; ++row) to[row * layout.n + j] = from[j * layout.inner + row];
  }
}

template <class Stored, class Accumulated>
void scatter(const Accumulated* from, const RowLayout& layout, int64_t rows, Stored* to) {
  for (int64_t j = 0; j < layout.n; ++j) {
    for (int64_t row = 0; row < rows; ++row) {
      to[j * layout.inner + row] = static_cast<Stored>(from[row * layout.n + j]);
    }
  }
}

template <class Stored>
void normalize_rows(Normalizer normalizer, const RowLayout& layout, const Stored* scores, Stored* weights) {
  using Accumulated = at::opmath_type<Stored>;
  if constexpr (std::is_same_v<Stored, Accumulated>) {
    if (layout.inner == 1) {
      const int64_t bytes = layout.outer * layout.n * static_cast<int64_t>(sizeof(Stored));
      const cpu::Store store = bytes >= kStreamedBytes ? cpu::Store::streamed : cpu::Store::cached;
      return for_each_row(layout, [&](int64_t offset) {
        cpu::normalize_row(normalizer, scores + offset, weights + offset, layout.n, store);
      });
    }
  }
  for_each_tile<Accumulated>(layout, 1, [&](int64_t offset, int64_t rows, Accumulated* buffer) {
    gather(scores + offset, layout, rows, buffer);
    for (int64_t row = 0; row < rows; ++row)
      cpu::normalize_row(normalizer, buffer + row * layout.n, layout.n);
    scatter(buffer, layout, rows, weights + offset);
  });
}

template <class Stored>
void normalize_rows_backward(Normalizer normalizer, const RowLayout& layout, const Stored* grad,
                             const Stored* weights, Stored* grad_scores) {
  using Accumulated = at::opmath_type<Stored>;
  if constexpr (std::is_same_v<Stored, Accumulated>) {
    if (layout.inner == 1) {
      return for_each_row(layout, [&](int64_t offset) {
        cpu::normalize_row_backward(normalizer, weights + offset, grad + offset, grad_scores + offset,
                                    layout.n);
      });
    }
  }
  for_each_tile<Accumulated>(layout, 2, [&](int64_t offset, int64_t rows, Accumulated* buffer) {
    Accumulated* const row_weights = buffer + rows * layout.n;
    gather(grad + offset, layout, rows, buffer);
    gather(weights + offset, layout, rows, row_weights);
    for (int64_t row = 0; row < rows; ++row) {
      cpu::normalize_row_backward(normalizer, row_weights + row * layout.n, buffer + row * layout.n,
                                  layout.n);
    }
    scatter(buffer, layout, rows, grad_scores + offset);
  });
}

// `result` is contiguous, and is one of the operands or overlaps none.
void forward_into(const at::Tensor& result, Normalizer normalizer, const at::Tensor& scores, int64_t dim) {
  const RowLayout layout(scores.sizes(), dim);
  const at::Tensor rows = scores.contiguous();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, scores.scalar_type(), "normalizer", [&] {
    normalize_rows(normalizer, layout, rows.const_data_ptr<scalar_t>(), result.mutable_data_ptr<scalar_t>());
  });
}

void backward_into(const at::Tensor& result, Normalizer normalizer, const at::Tensor& grad,
                   const at::Tensor& weights, int64_t dim) {
  const RowLayout layout(weights.sizes(), dim);
  const at::Tensor grad_rows = grad.contiguous();
  const at::Tensor weight_rows = weights.contiguous();
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, weights.scalar_type(), "normalizer_backward", [&] {
        normalize_rows_backward(normalizer, layout, grad_rows.const_data_ptr<scalar_t>(),
                                weight_rows.const_data_ptr<scalar_t>(), result.mutable_data_ptr<scalar_t>());
      });
}

constexpr const char* forward_name(Normalizer normalizer) {
  return normalizer == Normalizer::sparsemax ? "sparsemax" : "entmax15";
}

constexpr const char* backward_name(Normalizer normalizer) {
  return normalizer == Normalizer::sparsemax ? "sparsemax_backward" : "entmax15_backward";
}

template <Normalizer normalizer>
at::Tensor forward_kernel(const at::Tensor& scores, int64_t dim) {
  const int64_t axis = check_rows(forward_name(normalizer), scores, dim);
  const at::Tensor weights = at::empty(scores.sizes(), scores.options());
  if (scores.numel() != 0) forward_into(weights, normalizer, scores, axis);
  return weights;
}

template <Normalizer normalizer>
at::Tensor& forward_out_kernel(const at::Tensor& scores, int64_t dim, at::Tensor& out) {
  const int64_t axis = check_rows(forward_name(normalizer), scores, dim);
  prepare_result(forward_name(normalizer), scores, out);
  if (!out.is_contiguous()) return out.copy_(forward_kernel<normalizer>(scores, dim));
  if (scores.numel() != 0) forward_into(out, normalizer, scores, axis);
  return out;
}

template <Normalizer normalizer>
at::Tensor backward_kernel(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  const int64_t axis = check_rows(backward_name(normalizer), weights, dim);
  check_same_shape_and_dtype(backward_name(normalizer), "grad", grad, "weights", weights);
  const at::Tensor grad_scores = at::empty(weights.sizes(), weights.options());
  if (weights.numel() != 0) backward_into(grad_scores, normalizer, grad, weights, axis);
  return grad_scores;
}

template <Normalizer normalizer>
at::Tensor& backward_out_kernel(const at::Tensor& grad, const at::Tensor& weights, int64_t dim,
                                at::Tensor& out) {
  const int64_t axis = check_rows(backward_name(normalizer), weights, dim);
  check_same_shape_and_dtype(backward_name(normalizer), "grad", grad, "weights", weights);
  prepare_result(backward_name(normalizer), weights, out);
  at::assert_no_partial_overlap(out, grad);
  if (!out.is_contiguous()) return out.copy_(backward_kernel<normalizer>(grad, weights, dim));
  if (weights.numel() != 0) backward_into(out, normalizer, grad, weights, axis);
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CPU, library) {
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
