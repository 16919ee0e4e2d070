// CPU kernels of the Fenchel-Young losses. With the weights p of the row both losses are
//   sum_j p_j (z_j - z_y) + omega(p),   omega = (1 - sum p^2) / 2 for sparsemax, (1 - sum p^1.5) * 4/3 for
//   entmax15,
// which needs differences of logits only and so stays exact for huge ones. Sums are in double, one row at a
// time.
#include <algorithm>
#include <memory>

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

constexpr int64_t kGrain = 32768;  // entries per thread at least

int64_t row_grain(int64_t classes) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, classes)); }

void check_target_values(const char* op, const at::Tensor& target, int64_t classes) {
  const int64_t* values = target.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < target.numel(); ++row) {
    TORCH_CHECK((0 <= values[row] && values[row] < classes) || values[row] == kIgnoredTarget, op,
                ": expected targets in [0, ", classes, ") or ", kIgnoredTarget, ", got ", values[row],
                " in row ", row);
  }
}

// weights: the normalizer's result for `logits`.
template <class T>
T row_loss(Normalizer normalizer, const T* logits, const T* weights, int64_t classes, int64_t target) {
  const cpu::RowLossSums sums = cpu::row_loss_sums(normalizer, logits, weights, classes, logits[target]);
  if (sums.power == 0.0) return T(0);  // nothing is permitted
  const double omega = (1.0 - sums.power) * (normalizer == Normalizer::sparsemax ? 0.5 : 4.0 / 3.0);
  const double loss = sums.expected + omega;
  return static_cast<T>(loss < 0.0 ? 0.0 : loss);  // rounding must not make a loss negative; NaN stays
}

template <class T>
void row_losses(Normalizer normalizer, const at::Tensor& logits, const at::Tensor& target,
                const at::Tensor& losses) {
  const int64_t classes = logits.size(-1);
  const T* rows = logits.const_data_ptr<T>();
  const int64_t* targets = target.const_data_ptr<int64_t>();
  T* results = losses.mutable_data_ptr<T>();
  at::parallel_for(0, target.numel(), row_grain(classes), [&](int64_t begin, int64_t end) {
    const std::unique_ptr<T[]> weights(new T[classes]);
    for (int64_t row = begin; row < end; ++row) {
      if (targets[row] == kIgnoredTarget) {
        results[row] = T(0);
        continue;
      }
      cpu::normalize_row(normalizer, rows + row * classes, weights.get(), classes);
      results[row] = row_loss(normalizer, rows + row * classes, weights.get(), classes, targets[row]);
    }
  });
}

at::Tensor loss_kernel(const char* op, Normalizer normalizer, const at::Tensor& logits,
                       const at::Tensor& target) {
  check_targets(op, logits, target);
  const at::Tensor rows = logits.to(at::toOpMathType(logits.scalar_type())).contiguous();
  const at::Tensor targets = target.contiguous();
  check_target_values(op, targets, rows.size(-1));
  const at::Tensor losses = at::empty(target.sizes(), rows.options());
  AT_DISPATCH_FLOATING_TYPES(rows.scalar_type(), "fenchel_young_loss",
                             [&] { row_losses<scalar_t>(normalizer, rows, targets, losses); });
  return losses;
}

template <class T>
void row_gradients(const at::Tensor& grad, const at::Tensor& weights, const at::Tensor& target,
                   const at::Tensor& grad_logits) {
  const int64_t classes = weights.size(-1);
  const T* row_grads = grad.const_data_ptr<T>();
  const T* row_weights = weights.const_data_ptr<T>();
  const int64_t* targets = target.const_data_ptr<int64_t>();
  T* results = grad_logits.mutable_data_ptr<T>();
  at::parallel_for(0, target.numel(), row_grain(classes), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* from = row_weights + row * classes;
      T* to = results + row * classes;
      const bool ignored = targets[row] == kIgnoredTarget;
      bool permitted = false;
      for (int64_t j = 0; j < classes; ++j) {
        permitted |= from[j] != T(0);
        to[j] = ignored || from[j] == T(0) ? T(0) : from[j] * row_grads[row];
      }
      if (!ignored && permitted) to[targets[row]] = (from[targets[row]] - T(1)) * row_grads[row];
    }
  });
}

at::Tensor backward_kernel(const at::Tensor& grad, const at::Tensor& weights, const at::Tensor& target) {
  check_loss_backward(grad, weights, target);
  const at::Tensor targets = target.contiguous();
  check_target_values("sparsemax_loss_backward", targets, weights.size(-1));
  const at::Tensor grad_logits = at::empty(weights.sizes(), weights.options());
  AT_DISPATCH_FLOATING_TYPES(weights.scalar_type(), "sparsemax_loss_backward", [&] {
    row_gradients<scalar_t>(grad.contiguous(), weights.contiguous(), targets, grad_logits);
  });
  return grad_logits;
}

at::Tensor sparsemax_loss_kernel(const at::Tensor& logits, const at::Tensor& target) {
  return loss_kernel("sparsemax_loss", Normalizer::sparsemax, logits, target);
}

at::Tensor entmax15_loss_kernel(const at::Tensor& logits, const at::Tensor& target) {
  return loss_kernel("entmax15_loss", Normalizer::entmax15, logits, target);
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CPU, library) {
  library.impl("sparsemax_loss", TORCH_FN(sparsemax_loss_kernel));
  library.impl("entmax15_loss", TORCH_FN(entmax15_loss_kernel));
  library.impl("_sparsemax_loss_backward", TORCH_FN(backward_kernel));
}

}  // namespace giantrabbit::ops
