// Products with rows of few numbers that are not 0, for one instruction set. Input and output are described
// in matrix_product.h. Part of matrix_functions.cpp, compiled once per instruction set.
#pragma once

#include "ops/cpu/matrix_functions.h"
#include "ops/cpu/row_vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// Whole vectors only: n and width are multiples of kColumnPadding, or rows are padded to it.

// Appends the chosen lanes of a vector that begins at `index`; writes up to a whole vector behind them.
template <class T>
[[gnu::always_inline]] inline void append_lanes(Vec<T> vec, uint64_t bits, int32_t index, int32_t* indices,
                                                T* values) {
#if defined(__AVX512F__)
  const __m512i all = _mm512_add_epi32(
      _mm512_set1_epi32(index), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  const __m512i chosen = _mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), all);
  if constexpr (sizeof(T) == 4) {
    _mm512_storeu_si512(indices, chosen);
    store<T>(values, (Vec<T>)_mm512_maskz_compress_ps(static_cast<__mmask16>(bits), (__m512)vec));
  } else {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(indices), _mm512_castsi512_si256(chosen));
    store<T>(values, (Vec<T>)_mm512_maskz_compress_pd(static_cast<__mmask8>(bits), (__m512d)vec));
  }
#else
  for (int64_t found = 0; bits != 0; bits &= bits - 1, ++found) {
    const int lane = __builtin_ctzll(bits);
    indices[found] = index + lane;
    values[found] = vec[lane];
  }
#endif
}

template <class T>
int64_t compress(const T* row, int64_t n, int32_t first, int64_t limit, int32_t* indices, T* values) {
  constexpr int64_t kCount = Lanes<T>::count;
  int64_t found = 0;
  for (int64_t i = 0; i < n; i += kCount) {
    const Vec<T> vec = load(row + i);
    const uint64_t bits = lane_bits<T>(vec != T(0));
    const int64_t count = __builtin_popcountll(bits);
    if (found + count > limit) return -1;
    append_lanes(vec, bits, first + static_cast<int32_t>(i), indices + found, values + found);
    found += count;
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
