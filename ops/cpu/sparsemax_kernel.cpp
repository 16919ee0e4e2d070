// CPU kernels of sparsemax and entmax-1.5: any dim, any strides. Each row is brought together in a contiguous
// buffer of the accumulation dtype, handed to the row functions and written back; rows are independent, so
// the result does not depend on the number of threads.
#include <algorithm>
#include <cstring>
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

constexpr int64_t kTile = 16;      // neighbouring rows handled together: whole cache lines when inner > 1
constexpr int64_t kGrain = 32768;  // entries per thread at least, so that waking a thread pays

// Calls function(offset of the first row's first entry, rows in the tile) for every tile, in parallel.
template <class Function>
void for_each_tile(const RowLayout& layout, const Function& function) {
  const int64_t tiles = (layout.inner + kTile - 1) / kTile;
  const int64_t tile_size = layout.n * std::min(layout.inner, kTile);
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, tile_size));
  at::parallel_for(0, layout.outer * tiles, grain, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t first = tile % tiles * kTile;
      function(tile / tiles * layout.n * layout.inner + first, std::min(kTile, layout.inner - first));
    }
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
  for_each_tile(layout, [&](int64_t offset, int64_t rows) {
    if constexpr (std::is_same_v<Stored, Accumulated>) {
      if (layout.inner == 1) {
        std::memcpy(weights + offset, scores + offset, layout.n * sizeof(Stored));
        cpu::normalize_row(normalizer, weights + offset, layout.n);
        return;
      }
    }
    const std::unique_ptr<Accumulated[]> buffer(new Accumulated[rows * layout.n]);
    gather(scores + offset, layout, rows, buffer.get());
    for (int64_t row = 0; row < rows; ++row)
      cpu::normalize_row(normalizer, &buffer[row * layout.n], layout.n);
    scatter(buffer.get(), layout, rows, weights + offset);
  });
}

template <class Stored>
void normalize_rows_backward(Normalizer normalizer, const RowLayout& layout, const Stored* grad,
                             const Stored* weights, Stored* grad_scores) {
  using Accumulated = at::opmath_type<Stored>;
  for_each_tile(layout, [&](int64_t offset, int64_t rows) {
    if constexpr (std::is_same_v<Stored, Accumulated>) {
      if (layout.inner == 1) {
        std::memcpy(grad_scores + offset, grad + offset, layout.n * sizeof(Stored));
        cpu::normalize_row_backward(normalizer, weights + offset, grad_scores + offset, layout.n);
        return;
      }
    }
    const std::unique_ptr<Accumulated[]> buffer(new Accumulated[2 * rows * layout.n]);
    Accumulated* const row_weights = &buffer[rows * layout.n];
    gather(grad + offset, layout, rows, buffer.get());
    gather(weights + offset, layout, rows, row_weights);
    for (int64_t row = 0; row < rows; ++row) {
      cpu::normalize_row_backward(normalizer, row_weights + row * layout.n, &buffer[row * layout.n],
                                  layout.n);
    }
    scatter(buffer.get(), layout, rows, grad_scores + offset);
  });
}

at::Tensor forward_kernel(const char* op, Normalizer normalizer, const at::Tensor& scores, int64_t dim) {
  const RowLayout layout(scores.sizes(), check_rows(op, scores, dim));
  const at::Tensor weights = at::empty(scores.sizes(), scores.options());
  if (scores.numel() == 0) return weights;
  const at::Tensor rows = scores.contiguous();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, scores.scalar_type(), "normalizer", [&] {
    normalize_rows(normalizer, layout, rows.const_data_ptr<scalar_t>(), weights.mutable_data_ptr<scalar_t>());
  });
  return weights;
}

at::Tensor backward_kernel(const char* op, Normalizer normalizer, const at::Tensor& grad,
                           const at::Tensor& weights, int64_t dim) {
  const RowLayout layout(weights.sizes(), check_rows(op, weights, dim));
  check_same_shape_and_dtype(op, "grad", grad, "weights", weights);
  const at::Tensor grad_scores = at::empty(weights.sizes(), weights.options());
  if (weights.numel() == 0) return grad_scores;
  const at::Tensor grad_rows = grad.contiguous();
  const at::Tensor weight_rows = weights.contiguous();
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, weights.scalar_type(), "normalizer_backward", [&] {
        normalize_rows_backward(normalizer, layout, grad_rows.const_data_ptr<scalar_t>(),
                                weight_rows.const_data_ptr<scalar_t>(),
                                grad_scores.mutable_data_ptr<scalar_t>());
      });
  return grad_scores;
}

at::Tensor sparsemax_forward_kernel(const at::Tensor& scores, int64_t dim) {
  return forward_kernel("sparsemax", Normalizer::sparsemax, scores, dim);
}

at::Tensor entmax15_forward_kernel(const at::Tensor& scores, int64_t dim) {
  return forward_kernel("entmax15", Normalizer::entmax15, scores, dim);
}

at::Tensor sparsemax_backward_kernel(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  return backward_kernel("sparsemax_backward", Normalizer::sparsemax, grad, weights, dim);
}

at::Tensor entmax15_backward_kernel(const at::Tensor& grad, const at::Tensor& weights, int64_t dim) {
  return backward_kernel("entmax15_backward", Normalizer::entmax15, grad, weights, dim);
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CPU, library) {
  library.impl("sparsemax", TORCH_FN(sparsemax_forward_kernel));
  library.impl("entmax15", TORCH_FN(entmax15_forward_kernel));
  library.impl("_sparsemax_backward", TORCH_FN(sparsemax_backward_kernel));
  library.impl("_entmax15_backward", TORCH_FN(entmax15_backward_kernel));
}

}  // namespace giantrabbit::ops
