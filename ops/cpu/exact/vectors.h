// Vector operations that the stages of exact attention need beside those of row_vectors.h: comparisons to
// bits, compression, four dot products at a time. Internal to the object that includes it, like
// row_vectors.h.
#pragma once

#include "ops/cpu/exact/functions.h"
#include "ops/cpu/row_vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

constexpr int64_t kLanes = Lanes<float>::count;
constexpr int64_t kBlockVectors = exact::kBlockKeys / kLanes;  // vectors that hold one number per key
constexpr float kFloatInfinity = __builtin_inff();
constexpr uint64_t kAllKeys = ~uint64_t{0};

// One bit per lane with a > b.
inline uint64_t bits_above(Vec<float> a, Vec<float> b) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
#else
  return lane_bits<float>(a > b);
#endif
}

// `a` in the lanes whose bit is set, `b` in the others.
inline Vec<float> select_lanes(uint64_t bits, Vec<float> a, Vec<float> b) {
#if defined(__AVX512F__)
  return (Vec<float>)_mm512_mask_mov_ps((__m512)b, static_cast<__mmask16>(bits), (__m512)a);
#else
  for (int64_t lane = 0; lane < kLanes; ++lane) b[lane] = (bits >> lane & 1) != 0 ? a[lane] : b[lane];
  return b;
#endif
}

// Lanes whose bit is set, -infinity elsewhere.
inline Vec<float> keep_lanes(Vec<float> vec, uint64_t bits) {
  return select_lanes(bits, vec, broadcast(-kFloatInfinity));
}

// An empty list may have no memory at all.
template <class T>
inline void copy_list(T* to, const T* from, int64_t count) {
  if (count > 0) __builtin_memcpy(to, from, static_cast<size_t>(count) * sizeof(T));
}

inline float lane_total(Vec<float> vec) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)vec);
#else
  float total = 0;
  for (int64_t lane = 0; lane < kLanes; ++lane) total += vec[lane];
  return total;
#endif
}

// Writes the lanes whose bit is set to `to`, in order, and what follows them up to a whole vector is
// undefined. Returns their number.
template <class T>
inline int64_t compress(T* to, Vec<T> vec, uint64_t bits) {
  static_assert(sizeof(T) == 4);
#if defined(__AVX512F__)
  const __m512i packed = _mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), (__m512i)vec);
  __builtin_memcpy(to, &packed, sizeof(packed));
  return __builtin_popcountll(bits);
#else
  int64_t count = 0;
  for (; bits != 0; bits &= bits - 1) to[count++] = vec[__builtin_ctzll(bits)];
  return count;
#endif
}

#if defined(__AVX512F__)
// 16 vectors of 16 lanes: lane i of vector j becomes lane j of vector i.
inline void transpose(__m512 (&rows)[16]) {
  __m512d pairs[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 4) {
    const __m512 a = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
    const __m512 b = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    const __m512 c = _mm512_unpacklo_ps(rows[i + 2], rows[i + 3]);
    const __m512 d = _mm512_unpackhi_ps(rows[i + 2], rows[i + 3]);
    pairs[i] = _mm512_unpacklo_pd((__m512d)a, (__m512d)c);
    pairs[i + 1] = _mm512_unpackhi_pd((__m512d)a, (__m512d)c);
    pairs[i + 2] = _mm512_unpacklo_pd((__m512d)b, (__m512d)d);
    pairs[i + 3] = _mm512_unpackhi_pd((__m512d)b, (__m512d)d);
  }
#pragma GCC unroll 8
  for (int k = 0; k < 4; ++k) {
    const __m512 low = _mm512_shuffle_f32x4((__m512)pairs[k], (__m512)pairs[k + 4], 0x88);
    const __m512 high = _mm512_shuffle_f32x4((__m512)pairs[k], (__m512)pairs[k + 4], 0xdd);
    const __m512 next_low = _mm512_shuffle_f32x4((__m512)pairs[k + 8], (__m512)pairs[k + 12], 0x88);
    const __m512 next_high = _mm512_shuffle_f32x4((__m512)pairs[k + 8], (__m512)pairs[k + 12], 0xdd);
    rows[k] = _mm512_shuffle_f32x4(low, next_low, 0x88);
    rows[k + 4] = _mm512_shuffle_f32x4(high, next_high, 0x88);
    rows[k + 8] = _mm512_shuffle_f32x4(low, next_low, 0xdd);
    rows[k + 12] = _mm512_shuffle_f32x4(high, next_high, 0xdd);
  }
}
#endif

struct Four {
  float value[4];
};

// The sums of four vectors, each by the same tree.
inline Four four_totals(Vec<float> a, Vec<float> b, Vec<float> c, Vec<float> d) {
  Four totals;
#if defined(__AVX512F__)
  const __m512 ab =
      _mm512_add_ps(_mm512_unpacklo_ps((__m512)a, (__m512)b), _mm512_unpackhi_ps((__m512)a, (__m512)b));
  const __m512 cd =
      _mm512_add_ps(_mm512_unpacklo_ps((__m512)c, (__m512)d), _mm512_unpackhi_ps((__m512)c, (__m512)d));
  const __m512d even = _mm512_unpacklo_pd((__m512d)ab, (__m512d)cd);
  const __m512d odd = _mm512_unpackhi_pd((__m512d)ab, (__m512d)cd);
  const __m512 quarter = _mm512_add_ps((__m512)even, (__m512)odd);
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(quarter), _mm512_extractf32x8_ps(quarter, 1));
  const __m128 whole = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  __builtin_memcpy(totals.value, &whole, sizeof(whole));
#else
  const Vec<float> vectors[4] = {a, b, c, d};
  for (int64_t i = 0; i < 4; ++i) {
    totals.value[i] = 0;
    for (int64_t lane = 0; lane < kLanes; ++lane) totals.value[i] += vectors[i][lane];
  }
#endif
  return totals;
}

// Products of one row with four others. A product's bits depend on the two rows only.
inline Four four_products(const float* row, const float* a, const float* b, const float* c, const float* d,
                          int64_t width) {
  Vec<float> sums[4] = {};
  for (int64_t k = 0; k < width; k += kLanes) {
    const Vec<float> factor = load(row + k);
    sums[0] += factor * load(a + k);
    sums[1] += factor * load(b + k);
    sums[2] += factor * load(c + k);
    sums[3] += factor * load(d + k);
  }
  return four_totals(sums[0], sums[1], sums[2], sums[3]);
}

// Asks for memory ahead of its use. Rows that are gathered lie anywhere: each would be waited for.
inline void fetch_row(const float* row, int64_t width) {
  constexpr int64_t kLine = 64 / sizeof(float);
  for (int64_t k = 0; k < width; k += kLine) __builtin_prefetch(row + k);
}

inline void fetch_rows(exact::Rows rows, const int32_t* keys, int64_t count, int64_t width) {
  for (int64_t j = 0; j < count; ++j) {
    fetch_row(rows.data + static_cast<int64_t>(keys[j]) * rows.row, width);
  }
}

// products[j] = row . rows[keys[j]]; room for whole groups of four.
inline void gathered_products(const float* row, exact::Rows rows, const int32_t* keys, int64_t count,
                              int64_t width, float* products) {
  for (int64_t j = 0; j < count; j += 4) {
    const float* pointers[4];
    for (int64_t i = 0; i < 4; ++i) {
      pointers[i] = rows.data + static_cast<int64_t>(keys[j + i < count ? j + i : count - 1]) * rows.row;
    }
    const Four four = four_products(row, pointers[0], pointers[1], pointers[2], pointers[3], width);
    __builtin_memcpy(products + j, four.value, sizeof(four));
  }
}

inline void clear_row(float* row, int64_t width) {
  for (int64_t k = 0; k < width; k += kLanes) store(row + k, Vec<float>{});
}

// result = sum_j factors[j] rows[keys[j]], `width` floats, added to what it was with `add`; keys in order.
template <bool add = false>
inline void gathered_sum(exact::Rows rows, const int32_t* keys, const float* factors, int64_t count,
                         int64_t width, float* result) {
  int64_t k = 0;
  for (; k + 4 * kLanes <= width; k += 4 * kLanes) {
    Vec<float> sums[4] = {};
    for (int64_t i = 0; add && i < 4; ++i) sums[i] = load(result + k + i * kLanes);
    for (int64_t j = 0; j < count; ++j) {
      const float* from = rows.data + static_cast<int64_t>(keys[j]) * rows.row + k;
      const Vec<float> factor = broadcast(factors[j]);
      sums[0] += factor * load(from);
      sums[1] += factor * load(from + kLanes);
      sums[2] += factor * load(from + 2 * kLanes);
      sums[3] += factor * load(from + 3 * kLanes);
    }
    for (int64_t i = 0; i < 4; ++i) store(result + k + i * kLanes, sums[i]);
  }
  for (; k < width; k += kLanes) {
    Vec<float> sum = add ? load(result + k) : Vec<float>{};
    for (int64_t j = 0; j < count; ++j) {
      sum += broadcast(factors[j]) * load(rows.data + static_cast<int64_t>(keys[j]) * rows.row + k);
    }
    store(result + k, sum);
  }
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
