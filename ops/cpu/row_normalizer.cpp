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

void normalize_row(Normalizer normalizer, float* row, int64_t n) {
  chosen_functions().normalize_float[static_cast<int64_t>(normalizer)](row, n);
}

void normalize_row(Normalizer normalizer, double* row, int64_t n) {
  chosen_functions().normalize_double[static_cast<int64_t>(normalizer)](row, n);
}

void normalize_row_backward(Normalizer normalizer, const float* weights, float* grad, int64_t n) {
  chosen_functions().backward_float[static_cast<int64_t>(normalizer)](weights, grad, n);
}

void normalize_row_backward(Normalizer normalizer, const double* weights, double* grad, int64_t n) {
  chosen_functions().backward_double[static_cast<int64_t>(normalizer)](weights, grad, n);
}

}  // namespace giantrabbit::ops::cpu
