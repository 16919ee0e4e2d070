// Products of small dense matrices, the inner loops of attention: raw pointers, no allocation, any thread.
//
//   result (+)= left . right      left [rows, depth], right [depth, columns], result [rows, columns]
//
// `right` is read and `result` is written up to the next multiple of kColumnPadding columns: both need the
// room. The bits of an element depend on its row of `left` and its column of `right` only, and on the
// instruction set.
#pragma once

#include "ops/cpu/matrix_functions.h"

namespace giantrabbit::ops::cpu {

constexpr int64_t kColumnPadding = 16;

constexpr int64_t padded_columns(int64_t columns) {
  return (columns + kColumnPadding - 1) / kColumnPadding * kColumnPadding;
}

// Distance between rows of a scratch matrix. An odd number of paddings: rows a power of two apart share cache
// sets.
constexpr int64_t scratch_stride(int64_t columns) {
  const int64_t padded = padded_columns(columns);
  return padded % (2 * kColumnPadding) == 0 && padded > 4 * kColumnPadding ? padded + kColumnPadding : padded;
}

// The functions of the chosen instruction set; T is float or double.
template <class T>
const MatrixFunctionsOf<T>& matrix_functions_of();
template <>
const MatrixFunctionsOf<float>& matrix_functions_of<float>();
template <>
const MatrixFunctionsOf<double>& matrix_functions_of<double>();

template <class T>
void matrix_product(ProductSize size, StridedMatrix<T> left, RowMatrix<const T> right, RowMatrix<T> result,
                    bool accumulate) {
  matrix_functions_of<T>().product(size, left, right, result, accumulate);
}

// result[j][i] = factor * from(i, j) for `rows` x `columns` numbers; columns of the result from `rows` up to
// the next multiple of kColumnPadding become 0.
template <class T>
void transpose(int64_t rows, int64_t columns, StridedMatrix<T> from, T factor, RowMatrix<T> result) {
  matrix_functions_of<T>().transpose(rows, columns, from, factor, result);
}

// Whether every number is finite.
template <class T>
bool all_finite(RowMatrix<const T> matrix, int64_t rows, int64_t columns) {
  return matrix_functions_of<T>().finite(matrix, rows, columns);
}

// Rows with few numbers that are not 0. Here every matrix is read and written in whole paddings of columns;
// what a sparse row does not name is not touched.

// The numbers of a row of whole paddings that are not 0 and their indices, counted from `first`. Returns how
// many there are, or -1 if they are more than `limit`. Needs room for kColumnPadding numbers behind the
// limit.
template <class T>
int64_t compress(const T* row, int64_t n, int32_t first, int64_t limit, int32_t* indices, T* values) {
  return matrix_functions_of<T>().compress(row, n, first, limit, indices, values);
}

// result = sum of factors times rows of `right`. The bits are those of matrix_product.
template <class T>
void combine(SparseRow<T> factors, RowMatrix<const T> right, int64_t width, T* result) {
  matrix_functions_of<T>().combine(factors, right, padded_columns(width), result);
}

// results[e] = left . (row indices[e] of `right`); the values of `where` do not count.
template <class T>
void dots(SparseRow<T> where, const T* left, RowMatrix<const T> right, int64_t width, T* results) {
  matrix_functions_of<T>().dots(where, left, right, padded_columns(width), results);
}

// Adds every factor times `row` to the row of `sums` that it names.
template <class T>
void scatter(SparseRow<T> factors, const T* row, int64_t width, RowMatrix<T> sums) {
  matrix_functions_of<T>().scatter(factors, row, padded_columns(width), sums);
}

// The same product over the k with left(i, k) != 0 only: a weight of exactly 0 keeps out what it multiplies,
// be it NaN or infinite. Slow; for a right factor that has such values.
template <class T>
void matrix_product_without_zeros(ProductSize size, StridedMatrix<T> left, RowMatrix<const T> right,
                                  RowMatrix<T> result, bool accumulate) {
  for (int64_t i = 0; i < size.rows; ++i) {
    T* out = result.data + i * result.row;
    for (int64_t j = 0; j < size.columns && !accumulate; ++j) out[j] = T(0);
    for (int64_t k = 0; k < size.depth; ++k) {
      const T weight = left.data[i * left.row + k * left.column];
      if (weight == T(0)) continue;
      for (int64_t j = 0; j < size.columns; ++j) out[j] += weight * right.data[k * right.row + j];
    }
  }
}

}  // namespace giantrabbit::ops::cpu
