// Loops over rows for row_functions.cpp: element by element, sums, and the exponential. Internal to the
// object that includes it, like row_vectors.h.
#pragma once

#include <type_traits>

#include "ops/cpu/row_vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// to[i] = function(from[i]) for whole vectors; lanes past the end see `fill` and are dropped. `to` may be
// `from`.
template <class T, class Function>
inline void map_row(const T* from, T* to, int64_t n, T fill, Function function) {
  int64_t i = 0;
  for (; i + Lanes<T>::count <= n; i += Lanes<T>::count) store<T>(to + i, function(load(from + i)));
  if (i < n) store_part<T>(to + i, n - i, function(load_part(from + i, n - i, fill)));
}

// Weights are sparse, and where they are 0 the gradient does not count: loops over both look at blocks of
// weights and leave the gradient of an empty block alone. A row of one block has weights there.
template <class T>
constexpr int64_t kBlock = 8 * Lanes<T>::count;

template <class T>
inline bool all_zero(const T* weights, int64_t n) {
  auto any = Vec<T>{} != Vec<T>{};
  int64_t i = 0;
  for (; i + Lanes<T>::count <= n; i += Lanes<T>::count) any |= load(weights + i) != T(0);
  if (i < n) any |= load_part(weights + i, n - i, T(0)) != T(0);
  return lane_bits<T>(any) == 0;
}

// to[i] = function(weights[i], grad[i]), and 0 where function is known to give that. `to` may be `grad`.
template <class T, class Function>
inline void map_pair(const T* weights, const T* grad, T* to, int64_t n, Function function) {
  for (int64_t begin = 0; begin < n; begin += kBlock<T>) {
    const int64_t end = begin + kBlock<T> < n ? begin + kBlock<T> : n;
    int64_t i = begin;
    if (n > kBlock<T> && all_zero(weights + begin, end - begin)) {
      for (; i + Lanes<T>::count <= end; i += Lanes<T>::count) store<T>(to + i, Vec<T>{});
      if (i < end) store_part<T>(to + i, end - i, Vec<T>{});
      continue;
    }
    for (; i + Lanes<T>::count <= end; i += Lanes<T>::count)
      store<T>(to + i, function(load(weights + i), load(grad + i)));
    if (i < end) {
      store_part<T>(to + i, end - i,
                    function(load_part(weights + i, end - i, T(0)), load_part(grad + i, end - i, T(0))));
    }
  }
}

struct PairSums {
  double first;
  double second;
};

// The totals of what add(weights, grad, first, second) adds to two vectors: at most 8 additions of T per
// lane, then double. Lanes past the end have weight 0.
template <class T, class Add>
inline PairSums sum_pair(const T* weights, const T* grad, int64_t n, Add add) {
  Wide totals[2]{};
  for (int64_t begin = 0; begin < n; begin += kBlock<T>) {
    const int64_t end = begin + kBlock<T> < n ? begin + kBlock<T> : n;
    if (n > kBlock<T> && all_zero(weights + begin, end - begin)) continue;
    Vec<T> sums[2]{};
    int64_t i = begin;
    for (; i + Lanes<T>::count <= end; i += Lanes<T>::count)
      add(load(weights + i), load(grad + i), sums[0], sums[1]);
    if (i < end)
      add(load_part(weights + i, end - i, T(0)), load_part(grad + i, end - i, T(0)), sums[0], sums[1]);
    totals[0] += wide_sum(sums[0]);
    totals[1] += wide_sum(sums[1]);
  }
  return {lane_sum(totals[0]), lane_sum(totals[1])};
}

// Sums over a row. `Sums` starts at zero and has add(scores); its numbers are added to `totals`, by merge(),
// after at most 8 additions of T per lane: from there on they are double. Lanes past the end see -inf.
template <class Sums, class Totals, class T>
inline void sum_row(const T* row, int64_t n, const Sums& start, Totals& totals) {
  for (int64_t begin = 0; begin < n; begin += kBlock<T>) {
    const int64_t end = begin + kBlock<T> < n ? begin + kBlock<T> : n;
    Sums sums = start;
    int64_t i = begin;
    for (; i + Lanes<T>::count <= end; i += Lanes<T>::count) sums.add(load(row + i));
    if (i < end) sums.add(load_part(row + i, end - i, -static_cast<T>(kInfinity)));
    totals.merge(sums);
  }
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
  // What lies below is dropped at the end; here its exponent would overflow.
  const Vec<T> bounded = larger(x, broadcast(kLowest));
  const Vec<T> shifted = bounded * kLog2E + kRound;
  const Vec<T> k = shifted - kRound;
  const Vec<T> rest = (bounded - k * kLn2High) - k * kLn2Low;
  Vec<T> result = broadcast(static_cast<T>(kInverseFactorial[kDegree]));
  for (int power = kDegree - 1; power >= 0; --power) {
    result = result * rest + static_cast<T>(kInverseFactorial[power]);
  }
  // Unsigned: an infinity's sum runs over, its lane is NaN or 0 in the end.
  using Bits = Vec<std::conditional_t<kFloat, uint32_t, uint64_t>>;
  const Bits exponent = (Bits)shifted << (kFloat ? 23 : 52);
  const Vec<T> scaled = (Vec<T>)((Bits)result + exponent);
  return x >= kLowest ? scaled : Vec<T>{};
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
