// Picks the matrix products of the chosen instruction set, once per process.
#include "ops/cpu/matrix_product.h"

#include "ops/cpu/capability.h"

namespace giantrabbit::ops::cpu {
namespace {

const MatrixFunctions& chosen_functions() {
#if defined(__x86_64__)
  static const MatrixFunctions& functions =
      chosen_capability() >= Capability::avx512 ? avx512::matrix_functions
      : chosen_capability() == Capability::avx2 ? avx2::matrix_functions
                                                : baseline::matrix_functions;
  return functions;
#else
  return baseline::matrix_functions;
#endif
}

}  // namespace

template <>
const MatrixFunctionsOf<float>& matrix_functions_of<float>() {
  return chosen_functions().of_float;
}

template <>
const MatrixFunctionsOf<double>& matrix_functions_of<double>() {
  return chosen_functions().of_double;
}

}  // namespace giantrabbit::ops::cpu
