// Vectors of float and double for row_functions.cpp: loads, stores, operations across lanes. Width and
// instructions follow the compiler's flags; everything is internal to the object that includes it, because
// objects for different instruction sets must not share inline functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

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

// x - 0 is x for every x, which the compiler knows; x + 0 is not.
template <class T>
inline Vec<T> broadcast(T value) {
  return value - Vec<T>{};
}

template <class T>
inline Vec<T> load(const T* from) {
  Vec<T> vec;
  __builtin_memcpy(&vec, from, sizeof(vec));
  return vec;
}

template <class T>
inline void store(T* to, Vec<T> vec) {
  __builtin_memcpy(to, &vec, sizeof(vec));
}

#if defined(__AVX512F__)
template <class T>
inline unsigned first_lanes(int64_t count) {
  return (1U << count) - 1U;
}
#elif defined(__AVX2__)
// All bits of the first `count` lanes.
template <class T>
inline __m256i first_lanes(int64_t count) {
  using Bits = decltype(Vec<T>{} > Vec<T>{});
  Bits index;
  for (int i = 0; i < static_cast<int>(Lanes<T>::count); ++i) index[i] = i;
  return (__m256i)(index < (Bits{} + static_cast<decltype(index[0] + 0)>(count)));
}
#endif

// The first `count` lanes from memory, the others hold `fill`.
template <class T>
inline Vec<T> load_part(const T* from, int64_t count, T fill) {
  const Vec<T> filled = broadcast(fill);
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_mask_loadu_ps((__m512)filled, first_lanes<T>(count), from);
  } else {
    return (Vec<T>)_mm512_mask_loadu_pd((__m512d)filled, first_lanes<T>(count), from);
  }
#elif defined(__AVX2__)
  const __m256i lanes = first_lanes<T>(count);
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm256_blendv_ps((__m256)filled, _mm256_maskload_ps(from, lanes), (__m256)lanes);
  } else {
    return (Vec<T>)_mm256_blendv_pd((__m256d)filled, _mm256_maskload_pd(from, lanes), (__m256d)lanes);
  }
#else
  Vec<T> vec = filled;
  for (int64_t i = 0; i < count; ++i) vec[i] = from[i];
  return vec;
#endif
}

template <class T>
inline void store_part(T* to, int64_t count, Vec<T> vec) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(to, first_lanes<T>(count), (__m512)vec);
  } else {
    _mm512_mask_storeu_pd(to, first_lanes<T>(count), (__m512d)vec);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    _mm256_maskstore_ps(to, first_lanes<T>(count), (__m256)vec);
  } else {
    _mm256_maskstore_pd(to, first_lanes<T>(count), (__m256d)vec);
  }
#else
  for (int64_t i = 0; i < count; ++i) to[i] = vec[i];
#endif
}

typedef float HalfFloats __attribute__((vector_size(kBytes / 2)));

inline Wide widened(HalfFloats half) {
#if defined(__AVX512F__)
  return (Wide)_mm512_maskz_cvtps_pd(0xff, (__m256)half);
#elif defined(__AVX2__)
  return (Wide)_mm256_cvtps_pd((__m128)half);
#else
  return __builtin_convertvector(half, Wide);
#endif
}

inline HalfFloats lower_half(Vec<float> vec) {
  HalfFloats half;
  __builtin_memcpy(&half, &vec, sizeof(half));
  return half;
}

// Half `part` of a float vector in double; a double vector and half a float vector have one part only.
template <int64_t part>
inline Wide wide_part(Vec<double> vec) {
  return vec;
}

template <int64_t part>
inline Wide wide_part(HalfFloats half) {
  return widened(half);
}

template <int64_t part>
inline Wide wide_part(Vec<float> vec) {
#if defined(__AVX512F__)
  return widened((HalfFloats)_mm512_maskz_extractf32x8_ps(0xff, (__m512)vec, part));
#elif defined(__AVX2__)
  return widened((HalfFloats)_mm256_extractf128_ps((__m256)vec, part));
#else
  return widened(__builtin_shufflevector(vec, vec, 2 * part, 2 * part + 1));
#endif
}

inline Wide load_wide(const double* from) { return load(from); }

inline Wide load_wide(const float* from) {
  HalfFloats half;
  __builtin_memcpy(&half, from, sizeof(half));
  return widened(half);
}

// The first `count` entries, at most kWide, in double.
inline Wide load_wide_part(const double* from, int64_t count, double fill) {
  return load_part(from, count, fill);
}

inline Wide load_wide_part(const float* from, int64_t count, double fill) {
  return wide_part<0>(load_part(from, count, static_cast<float>(fill)));
}

// function(function(.., lane), lane) over all lanes, in pairs `step` apart, then step / 2 and so on.
template <int step, class V, class Function, int... lane>
inline auto fold_lanes(V vec, const Function& function, std::integer_sequence<int, lane...> lanes) {
  const V folded = function(vec, __builtin_shufflevector(vec, vec, (lane ^ step)...));
  if constexpr (step == 1) {
    return folded[0];
  } else {
    return fold_lanes<step / 2>(folded, function, lanes);
  }
}

template <class T, class Function>
inline T fold_lanes(Vec<T> vec, const Function& function) {
  constexpr int kLanes = Lanes<T>::count;
  return fold_lanes<kLanes / 2>(vec, function, std::make_integer_sequence<int, kLanes>());
}

inline double lane_sum(Wide vec) {
  return fold_lanes<double>(vec, [](Wide a, Wide b) { return a + b; });
}

// The larger of the two; `second` where either is not a number.
template <class V>
inline V larger(V first, V second) {
  constexpr bool kFloat = sizeof(first[0]) == 4;
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && kFloat)
    return (V)_mm512_maskz_max_ps(0xffff, (__m512)first, (__m512)second);
  if constexpr (sizeof(V) == 64 && !kFloat)
    return (V)_mm512_maskz_max_pd(0xff, (__m512d)first, (__m512d)second);
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(V) == 32 && kFloat) return (V)_mm256_max_ps((__m256)first, (__m256)second);
  if constexpr (sizeof(V) == 32 && !kFloat) return (V)_mm256_max_pd((__m256d)first, (__m256d)second);
#endif
  static_cast<void>(kFloat);
  return first > second ? first : second;
}

// The number if it is negative, else 0; what is not a number stays so.
template <class V>
inline V negative_part(V number) {
  constexpr bool kFloat = sizeof(number[0]) == 4;
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && kFloat) return (V)_mm512_maskz_min_ps(0xffff, __m512{}, (__m512)number);
  if constexpr (sizeof(V) == 64 && !kFloat) return (V)_mm512_maskz_min_pd(0xff, __m512d{}, (__m512d)number);
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(V) == 32 && kFloat) return (V)_mm256_min_ps(__m256{}, (__m256)number);
  if constexpr (sizeof(V) == 32 && !kFloat) return (V)_mm256_min_pd(__m256d{}, (__m256d)number);
#endif
  static_cast<void>(kFloat);
  return number >= V{} ? V{} : number;
}

template <class T>
inline T lane_maximum(Vec<T> vec) {
  return fold_lanes<T>(vec, [](Vec<T> a, Vec<T> b) { return larger(a, b); });
}

// Adds the halves of a float vector, so that its sum goes on in double.
inline Wide wide_sum(Vec<double> vec) { return vec; }
inline Wide wide_sum(Vec<float> vec) { return wide_part<0>(vec) + wide_part<1>(vec); }

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

// One bit per lane whose comparison held; T is the compared type.
template <class T, class Mask>
inline uint64_t lane_bits(Mask mask) {
  constexpr bool kFloat = sizeof(T) == 4;
#if defined(__AVX512F__)
  if constexpr (sizeof(Mask) == 64 && kFloat) return _mm512_movepi32_mask((__m512i)mask);
  if constexpr (sizeof(Mask) == 64 && !kFloat) return _mm512_movepi64_mask((__m512i)mask);
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(Mask) == 32 && kFloat) return static_cast<unsigned>(_mm256_movemask_ps((__m256)mask));
  if constexpr (sizeof(Mask) == 32 && !kFloat)
    return static_cast<unsigned>(_mm256_movemask_pd((__m256d)mask));
#endif
#if defined(__SSE2__)
  if constexpr (sizeof(Mask) == 16 && kFloat) return static_cast<unsigned>(_mm_movemask_ps((__m128)mask));
  if constexpr (sizeof(Mask) == 16 && !kFloat) return static_cast<unsigned>(_mm_movemask_pd((__m128d)mask));
#endif
  static_cast<void>(kFloat);
  uint64_t bits = 0;
  for (size_t i = 0; i < sizeof(Mask) / sizeof(T); ++i) bits |= static_cast<uint64_t>(mask[i] != 0) << i;
  return bits;
}

// One bit per lane that is above the bound or not a number.
template <class T>
inline uint64_t bits_not_within(Vec<T> vec, Vec<T> bound) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return _mm512_cmp_ps_mask((__m512)vec, (__m512)bound, _CMP_NLE_UQ);
  } else {
    return _mm512_cmp_pd_mask((__m512d)vec, (__m512d)bound, _CMP_NLE_UQ);
  }
#else
  return lane_bits<T>(~(vec <= bound));
#endif
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
