// Products with rows of few numbers that are not 0, for one instruction set. Input and output are described
// in matrix_product.h. Part of matrix_functions.cpp, compiled once per instruction set.
#pragma once

#include "ops/cpu/matrix_functions.h"
#include "ops/cpu/row_vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// Whole vectors only: n and width are multiples of kColumnPadding, or rows are padded to it.

template <class T>
int64_t compress(const T* row, int64_t n, int32_t first, int64_t limit, int32_t* indices, T* values) {
  constexpr int64_t kCount = Lanes<T>::count;
  int64_t found = 0;
  for (int64_t i = 0; i < n; i += kCount) {
    uint64_t bits = lane_bits<T>(load(row + i) != T(0));
    if (found + __builtin_popcountll(bits) > limit) return -1;
    for (; bits != 0; bits &= bits - 1) {
      const int64_t j = i + __builtin_ctzll(bits);
      indices[found] = first + static_cast<int32_t>(j);
      values[found++] = row[j];
    }
  }
  return found;
}

template <class T, int vectors>
inline void combine_columns(SparseRow<T> factors, const T* right, int64_t stride, T* result) {
  constexpr int64_t kCount = Lanes<T>::count;
  Vec<T> sum[vectors] = {};
  for (int64_t e = 0; e < factors.count; ++e) {
    const T* row = right + factors.indices[e] * stride;
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) sum[j] += factors.values[e] * load(row + j * kCount);
  }
#pragma GCC unroll 4
  for (int j = 0; j < vectors; ++j) {
    const Vec<T> total = sum[j];
    __builtin_memcpy(result + j * kCount, &total, sizeof(total));
  }
}

template <class T>
void combine(SparseRow<T> factors, RowMatrix<const T> right, int64_t width, T* result) {
  constexpr int64_t kCount = Lanes<T>::count;
  int64_t j = 0;
  for (; j + 4 * kCount <= width; j += 4 * kCount) {
    combine_columns<T, 4>(factors, right.data + j, right.row, result + j);
  }
  for (; j + 2 * kCount <= width; j += 2 * kCount) {
    combine_columns<T, 2>(factors, right.data + j, right.row, result + j);
  }
  for (; j < width; j += kCount) combine_columns<T, 1>(factors, right.data + j, right.row, result + j);
}

template <class T>
void dots(SparseRow<T> where, const T* left, RowMatrix<const T> right, int64_t width, T* results) {
  constexpr int64_t kCount = Lanes<T>::count;
  for (int64_t e = 0; e < where.count; ++e) {
    const T* row = right.data + where.indices[e] * right.row;
    Vec<T> even{};
    Vec<T> odd{};
    int64_t j = 0;
    for (; j + 2 * kCount <= width; j += 2 * kCount) {
      even += load(left + j) * load(row + j);
      odd += load(left + j + kCount) * load(row + j + kCount);
    }
    for (; j < width; j += kCount) even += load(left + j) * load(row + j);
    even += odd;
    T lanes[kCount];
    __builtin_memcpy(lanes, &even, sizeof(even));
#pragma GCC unroll 4
    for (int64_t half = kCount / 2; half > 0; half /= 2) {
      for (int64_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
    }
    results[e] = lanes[0];
  }
}

template <class T>
void scatter(SparseRow<T> factors, const T* row, int64_t width, RowMatrix<T> sums) {
  constexpr int64_t kCount = Lanes<T>::count;
  for (int64_t e = 0; e < factors.count; ++e) {
    T* target = sums.data + factors.indices[e] * sums.row;
    for (int64_t j = 0; j < width; j += kCount) {
      const Vec<T> total = load(target + j) + factors.values[e] * load(row + j);
      __builtin_memcpy(target + j, &total, sizeof(total));
    }
  }
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
