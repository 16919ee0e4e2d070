// Vectors of float and double for row_functions.cpp: loads, stores, loops over rows, square root,
// exponential. Width and instructions follow the compiler's flags; everything is internal to the object that
// includes it, because objects for different instruction sets must not share inline functions.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kBytes = 64;
#elif defined(__AVX2__)
constexpr int64_t kBytes = 32;
#else
constexpr int64_t kBytes = 16;
#endif

template <class T>
struct Lanes {
  static constexpr int64_t count = kBytes / sizeof(T);
  typedef T Vec __attribute__((vector_size(kBytes)));
};
template <class T>
using Vec = typename Lanes<T>::Vec;
using Wide = Vec<double>;  // sums and thresholds are kept in double
constexpr int64_t kWide = Lanes<double>::count;
constexpr double kInfinity = __builtin_inf();

template <class T>
inline Vec<T> load(const T* from) {
  Vec<T> vec;
  __builtin_memcpy(&vec, from, sizeof(vec));
  return vec;
}

// The first `count` lanes from memory, the others hold `fill`.
template <class T>
inline Vec<T> load_part(const T* from, int64_t count, T fill) {
  Vec<T> vec;
  for (int64_t i = 0; i < Lanes<T>::count; ++i) vec[i] = i < count ? from[i] : fill;
  return vec;
}

inline Wide load_wide(const double* from) { return load(from); }

inline Wide load_wide(const float* from) {
  typedef float Half __attribute__((vector_size(kBytes / 2)));
  Half half;
  __builtin_memcpy(&half, from, sizeof(half));
  return __builtin_convertvector(half, Wide);
}

template <class T>
inline Wide load_wide_part(const T* from, int64_t count, double fill) {
  Wide vec;
  for (int64_t i = 0; i < kWide; ++i) vec[i] = i < count ? static_cast<double>(from[i]) : fill;
  return vec;
}

template <class T>
inline void store_part(T* to, int64_t count, Vec<T> vec) {
  for (int64_t i = 0; i < count; ++i) to[i] = vec[i];
}

inline double lane_sum(Wide vec) {
  double sum = 0.0;
  for (int64_t i = 0; i < kWide; ++i) sum += vec[i];
  return sum;
}

// Adds neighbouring halves of a float vector, so that its sum goes on in double.
inline Wide widened(Vec<double> vec) { return vec; }

inline Wide widened(Vec<float> vec) {
  float lanes[Lanes<float>::count];
  __builtin_memcpy(lanes, &vec, sizeof(vec));
  return load_wide(lanes) + load_wide(lanes + kWide);
}

template <class V>
inline V square_root(V vec) {
#if defined(__AVX512F__)
  if constexpr (sizeof(vec[0]) == 4) {
    return (V)_mm512_maskz_sqrt_ps(0xffff, (__m512)vec);
  } else {
    return (V)_mm512_maskz_sqrt_pd(0xff, (__m512d)vec);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(vec[0]) == 4) {
    return (V)_mm256_sqrt_ps((__m256)vec);
  } else {
    return (V)_mm256_sqrt_pd((__m256d)vec);
  }
#else
  for (int64_t i = 0; i < static_cast<int64_t>(sizeof(V) / sizeof(vec[0])); ++i)
    vec[i] = __builtin_sqrt(vec[i]);
  return vec;
#endif
}

// One bit per lane whose comparison held.
template <class T, class Mask>
inline uint64_t lane_bits(Mask mask) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return _mm512_movepi32_mask((__m512i)mask);
  } else {
    return _mm512_movepi64_mask((__m512i)mask);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    return static_cast<unsigned>(_mm256_movemask_ps((__m256)mask));
  } else {
    return static_cast<unsigned>(_mm256_movemask_pd((__m256d)mask));
  }
#elif defined(__SSE2__)
  if constexpr (sizeof(T) == 4) {
    return static_cast<unsigned>(_mm_movemask_ps((__m128)mask));
  } else {
    return static_cast<unsigned>(_mm_movemask_pd((__m128d)mask));
  }
#else
  uint64_t bits = 0;
  for (int64_t i = 0; i < Lanes<T>::count; ++i) bits |= static_cast<uint64_t>(mask[i] != 0) << i;
  return bits;
#endif
}

// row[i] = function(row[i]) for whole vectors; lanes past the end see `fill` and are dropped.
template <class T, class Function>
inline void map_row(T* row, int64_t n, T fill, Function function) {
  int64_t i = 0;
  for (; i + Lanes<T>::count <= n; i += Lanes<T>::count) {
    const Vec<T> result = function(load(row + i));
    __builtin_memcpy(row + i, &result, sizeof(result));
  }
  if (i < n) store_part<T>(row + i, n - i, function(load_part(row + i, n - i, fill)));
}

// grad[i] = function(weights[i], grad[i]), likewise.
template <class T, class Function>
inline void map_pair(const T* weights, T* grad, int64_t n, Function function) {
  int64_t i = 0;
  for (; i + Lanes<T>::count <= n; i += Lanes<T>::count) {
    const Vec<T> result = function(load(weights + i), load(grad + i));
    __builtin_memcpy(grad + i, &result, sizeof(result));
  }
  if (i < n) {
    store_part<T>(grad + i, n - i,
                  function(load_part(weights + i, n - i, T(0)), load_part(grad + i, n - i, T(0))));
  }
}

// Sums over a row in double. `Sums` has add(scores) and merge(other); two of them take turns, because one
// chain of dependent additions is slower than the loads.
template <class Sums, class T>
inline Sums sum_row(const T* row, int64_t n, double fill, const Sums& start) {
  Sums even = start;
  Sums odd = start;
  int64_t i = 0;
  for (; i + 2 * kWide <= n; i += 2 * kWide) {
    even.add(load_wide(row + i));
    odd.add(load_wide(row + i + kWide));
  }
  for (; i < n; i += kWide)
    even.add(i + kWide <= n ? load_wide(row + i) : load_wide_part(row + i, n - i, fill));
  even.merge(odd);
  return even;
}

// The same over weights and gradients, with add(weights, gradients); lanes past the end have weight 0.
template <class Sums, class T>
inline Sums sum_pair(const T* weights, const T* grad, int64_t n) {
  Sums even;
  Sums odd;
  int64_t i = 0;
  for (; i + 2 * kWide <= n; i += 2 * kWide) {
    even.add(load_wide(weights + i), load_wide(grad + i));
    odd.add(load_wide(weights + i + kWide), load_wide(grad + i + kWide));
  }
  for (; i + kWide <= n; i += kWide) even.add(load_wide(weights + i), load_wide(grad + i));
  if (i < n) even.add(load_wide_part(weights + i, n - i, 0.0), load_wide_part(grad + i, n - i, 0.0));
  even.merge(odd);
  return even;
}

// exp(x) for x <= 0: 2^k times a Taylor polynomial of the rest, which is within +-ln(2)/2. Degree 7 truncates
// at 5e-9 relative for float, degree 13 at 5e-18 for double. Below the smallest normal number the result is
// 0.
template <class T>
inline Vec<T> exponential(Vec<T> x) {
  constexpr bool kFloat = sizeof(T) == 4;
  constexpr T kLog2E = static_cast<T>(1.4426950408889634074);
  constexpr T kRound = kFloat ? T(12582912.0) : static_cast<T>(6755399441055744.0);  // 1.5 * 2^mantissa bits
  // ln(2) in two parts; the first has so few bits that its product with k is exact.
  constexpr T kLn2High = kFloat ? T(0.693359375) : static_cast<T>(0x1.62e42fee00000p-1);
  constexpr T kLn2Low = kFloat ? T(-2.12194440054690583e-4) : static_cast<T>(0x1.a39ef35793c76p-33);
  constexpr T kLowest = kFloat ? T(-87.33) : static_cast<T>(-708.39);
  constexpr int kDegree = kFloat ? 7 : 13;
  constexpr double kInverseFactorial[14] = {1.0,
                                            1.0,
                                            1.0 / 2,
                                            1.0 / 6,
                                            1.0 / 24,
                                            1.0 / 120,
                                            1.0 / 720,
                                            1.0 / 5040,
                                            1.0 / 40320,
                                            1.0 / 362880,
                                            1.0 / 3628800,
                                            1.0 / 39916800,
                                            1.0 / 479001600,
                                            1.0 / 6227020800};
  const Vec<T> shifted = x * kLog2E + kRound;
  const Vec<T> k = shifted - kRound;
  const Vec<T> rest = (x - k * kLn2High) - k * kLn2Low;
  Vec<T> result = Vec<T>{} + static_cast<T>(kInverseFactorial[kDegree]);
  for (int power = kDegree - 1; power >= 0; --power) {
    result = result * rest + static_cast<T>(kInverseFactorial[power]);
  }
  using Bits = decltype(x > x);  // signed integers of the same width
  const Bits exponent = (Bits)shifted << (kFloat ? 23 : 52);
  const Vec<T> scaled = (Vec<T>)((Bits)result + exponent);
  return x >= kLowest ? scaled : Vec<T>{};
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
