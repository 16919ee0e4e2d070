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

void matrix_product(ProductSize size, StridedMatrix<float> left, RowMatrix<const float> right,
                    RowMatrix<float> result, bool accumulate);
void matrix_product(ProductSize size, StridedMatrix<double> left, RowMatrix<const double> right,
                    RowMatrix<double> result, bool accumulate);

// result[j][i] = factor * from(i, j) for `rows` x `columns` numbers; columns of the result from `rows` up to
// the next multiple of kColumnPadding become 0.
void transpose(int64_t rows, int64_t columns, StridedMatrix<float> from, float factor,
               RowMatrix<float> result);
void transpose(int64_t rows, int64_t columns, StridedMatrix<double> from, double factor,
               RowMatrix<double> result);

// Whether every number is finite.
bool all_finite(RowMatrix<const float> matrix, int64_t rows, int64_t columns);
bool all_finite(RowMatrix<const double> matrix, int64_t rows, int64_t columns);

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
