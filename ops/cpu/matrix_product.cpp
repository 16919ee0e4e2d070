// Picks the matrix products of the chosen instruction set, once per process, and forwards to them.
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

void matrix_product(ProductSize size, StridedMatrix<float> left, RowMatrix<const float> right,
                    RowMatrix<float> result, bool accumulate) {
  chosen_functions().product_float(size, left, right, result, accumulate);
}

void matrix_product(ProductSize size, StridedMatrix<double> left, RowMatrix<const double> right,
                    RowMatrix<double> result, bool accumulate) {
  chosen_functions().product_double(size, left, right, result, accumulate);
}

void transpose(int64_t rows, int64_t columns, StridedMatrix<float> from, float factor,
               RowMatrix<float> result) {
  chosen_functions().transpose_float(rows, columns, from, factor, result);
}

void transpose(int64_t rows, int64_t columns, StridedMatrix<double> from, double factor,
               RowMatrix<double> result) {
  chosen_functions().transpose_double(rows, columns, from, factor, result);
}

bool all_finite(RowMatrix<const float> matrix, int64_t rows, int64_t columns) {
  return chosen_functions().finite_float(matrix, rows, columns);
}

bool all_finite(RowMatrix<const double> matrix, int64_t rows, int64_t columns) {
  return chosen_functions().finite_double(matrix, rows, columns);
}

}  // namespace giantrabbit::ops::cpu
