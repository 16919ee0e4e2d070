// Table of the matrix products that matrix_functions.cpp defines once per instruction set. Plain types only:
// this header is seen by objects compiled for instructions that the machine may lack, so it brings in no
// inline code.
#pragma once

#include <cstdint>

namespace giantrabbit::ops::cpu {

struct ProductSize {
  int64_t rows;
  int64_t columns;
  int64_t depth;
};

// Element (i, j) is data[i * row + j * column]: rows, columns and transposes of any matrix.
template <class T>
struct StridedMatrix {
  const T* data;
  int64_t row;
  int64_t column;
};

// Element (i, j) is data[i * row + j].
template <class T>
struct RowMatrix {
  T* data;
  int64_t row;
};

// Meaning and contract: matrix_product.h.
struct MatrixFunctions {
  void (*product_float)(ProductSize, StridedMatrix<float>, RowMatrix<const float>, RowMatrix<float>, bool);
  void (*product_double)(ProductSize, StridedMatrix<double>, RowMatrix<const double>, RowMatrix<double>,
                         bool);
  void (*transpose_float)(int64_t rows, int64_t columns, StridedMatrix<float>, float, RowMatrix<float>);
  void (*transpose_double)(int64_t rows, int64_t columns, StridedMatrix<double>, double, RowMatrix<double>);
  bool (*finite_float)(RowMatrix<const float>, int64_t rows, int64_t columns);
  bool (*finite_double)(RowMatrix<const double>, int64_t rows, int64_t columns);
};

namespace baseline {
extern const MatrixFunctions matrix_functions;
}
#if defined(__x86_64__)
namespace avx2 {
extern const MatrixFunctions matrix_functions;
}
namespace avx512 {
extern const MatrixFunctions matrix_functions;
}
#endif

}  // namespace giantrabbit::ops::cpu
