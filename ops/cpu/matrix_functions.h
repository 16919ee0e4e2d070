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

// The `count` numbers of a row that are not 0 and where they are.
template <class T>
struct SparseRow {
  int64_t count;
  const int32_t* indices;
  const T* values;
};

// Meaning and contract: matrix_product.h.
template <class T>
struct MatrixFunctionsOf {
  void (*product)(ProductSize, StridedMatrix<T>, RowMatrix<const T>, RowMatrix<T>, bool accumulate);
  void (*transpose)(int64_t rows, int64_t columns, StridedMatrix<T>, T factor, RowMatrix<T>);
  bool (*finite)(RowMatrix<const T>, int64_t rows, int64_t columns);
  int64_t (*compress)(const T* row, int64_t n, int32_t first, int64_t limit, int32_t* indices, T* values);
  void (*combine)(SparseRow<T> factors, RowMatrix<const T> right, int64_t width, T* result);
  void (*dots)(SparseRow<T> where, const T* left, RowMatrix<const T> right, int64_t width, T* results);
  void (*scatter)(SparseRow<T> factors, const T* row, int64_t width, RowMatrix<T> sums);
};

struct MatrixFunctions {
  MatrixFunctionsOf<float> of_float;
  MatrixFunctionsOf<double> of_double;
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
