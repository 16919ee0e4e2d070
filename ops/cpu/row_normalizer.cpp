// Picks the row functions of the chosen instruction set, once per process, and forwards to them.
#include "ops/cpu/row_normalizer.h"

namespace giantrabbit::ops::cpu {
namespace {

const RowFunctions& chosen_functions() {
  static const RowFunctions& functions = row_functions(chosen_capability());
  return functions;
}

}  // namespace

const RowFunctions& row_functions(Capability capability) {
#if defined(__x86_64__)
  if (capability >= Capability::avx512) return avx512::row_functions;
  if (capability == Capability::avx2) return avx2::row_functions;
#endif
  static_cast<void>(capability);
  return baseline::row_functions;
}

void normalize_row(Normalizer normalizer, const float* scores, float* weights, int64_t n, Store store) {
  chosen_functions().normalize_float[static_cast<int64_t>(normalizer)](scores, weights, n, store);
}

void normalize_row(Normalizer normalizer, const double* scores, double* weights, int64_t n, Store store) {
  chosen_functions().normalize_double[static_cast<int64_t>(normalizer)](scores, weights, n, store);
}

void normalize_rows(Normalizer normalizer, const float* scores, float* weights, RowShape shape) {
  chosen_functions().normalize_rows_float[static_cast<int64_t>(normalizer)](scores, weights, shape);
}

void normalize_rows(Normalizer normalizer, const double* scores, double* weights, RowShape shape) {
  chosen_functions().normalize_rows_double[static_cast<int64_t>(normalizer)](scores, weights, shape);
}

void normalize_row_backward(Normalizer normalizer, const float* weights, const float* grad,
                            float* grad_scores, int64_t n) {
  chosen_functions().backward_float[static_cast<int64_t>(normalizer)](weights, grad, grad_scores, n);
}

void normalize_row_backward(Normalizer normalizer, const double* weights, const double* grad,
                            double* grad_scores, int64_t n) {
  chosen_functions().backward_double[static_cast<int64_t>(normalizer)](weights, grad, grad_scores, n);
}

RowLossSums row_loss_sums(Normalizer normalizer, const float* logits, const float* weights, int64_t n,
                          float target) {
  return chosen_functions().loss_sums_float(normalizer == Normalizer::sparsemax, logits, weights, n, target);
}

RowLossSums row_loss_sums(Normalizer normalizer, const double* logits, const double* weights, int64_t n,
                          double target) {
  return chosen_functions().loss_sums_double(normalizer == Normalizer::sparsemax, logits, weights, n, target);
}

}  // namespace giantrabbit::ops::cpu
