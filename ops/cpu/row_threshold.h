// Threshold tau of a sparsemax or entmax-1.5 row, without sorting: a row and its maximum in, tau relative to
// the maximum out. Part of row_functions.cpp, compiled once per instruction set. Few candidates are solved in
// registers, more by an iteration; sums and closed forms are in double. See Note [Sparsemax threshold] in
// ops/reference/sparsemax.cpp.
#pragma once

#include "ops/cpu/row_rules.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

template <class T>
struct RowPeak {
  Vec<T> lanes;  // largest entries of disjoint parts of the row
  T maximum;
};

// A number just below `bound`: rounding must not put the bound above an entry that it has to keep.
template <class T>
T rounded_down(T bound) {
  constexpr T kEpsilon = sizeof(T) == 4 ? static_cast<T>(0x1p-23) : static_cast<T>(0x1p-52);
  return bound - (bound < T(0) ? -bound : bound) * kEpsilon;
}

// A list in memory that grows by chosen lanes of vectors. Its head is kept as a vector as well, because
// reading memory that several stores have just written is slow.
template <class T>
struct LaneList {
  T* entries;  // room for two vectors more than the list may hold
  int64_t count = 0;
  Vec<T> head = broadcast(-static_cast<T>(kInfinity));

  void append(Vec<T> vec, uint64_t bits) {
#if defined(__AVX512F__)
    // Lanes of the head from `count` on; with more entries than lanes the head no longer matters.
    const uint64_t places = 0xffffULL << (count & 63);
    const Vec<T> lowest = broadcast(-static_cast<T>(kInfinity));
    if constexpr (sizeof(T) == 4) {
      const __m512 chosen =
          _mm512_mask_compress_ps((__m512)lowest, static_cast<__mmask16>(bits), (__m512)vec);
      head = (Vec<T>)_mm512_mask_expand_ps((__m512)head, static_cast<__mmask16>(places), chosen);
      store<T>(entries + count, (Vec<T>)chosen);
    } else {
      const __m512d chosen =
          _mm512_mask_compress_pd((__m512d)lowest, static_cast<__mmask8>(bits), (__m512d)vec);
      head = (Vec<T>)_mm512_mask_expand_pd((__m512d)head, static_cast<__mmask8>(places), chosen);
      store<T>(entries + count, (Vec<T>)chosen);
    }
    count += __builtin_popcountll(bits);
#else
    for (; bits != 0; bits &= bits - 1) entries[count++] = vec[__builtin_ctzll(bits)];
#endif
  }

  // Fills the head, and two vectors in memory behind the last entry, up with -inf.
  void finish() {
    const Vec<T> lowest = broadcast(-static_cast<T>(kInfinity));
    store<T>(entries + count, lowest);
    store<T>(entries + count + Lanes<T>::count, lowest);
#if !defined(__AVX512F__)
    head = load(entries);
#endif
  }
};

constexpr int64_t kCandidates = 2048;
template <class T>
constexpr int64_t kBuffer = kCandidates + 8 * Lanes<T>::count;  // of a list

// Appends the scores above the bound, and those that are not a number, until there are more than kCandidates.
template <class T>
[[gnu::always_inline]] inline void append_above(const T* row, int64_t n, Vec<T> bound, LaneList<T>& list) {
  constexpr int64_t kCount = Lanes<T>::count;
  int64_t i = 0;
  for (; i + 4 * kCount <= n && list.count <= kCandidates; i += 4 * kCount) {
    Vec<T> vecs[4];
    uint64_t bits[4];
    for (int part = 0; part < 4; ++part) {
      vecs[part] = load(row + i + part * kCount);
      bits[part] = bits_not_within<T>(vecs[part], bound);
    }
    if ((bits[0] | bits[1] | bits[2] | bits[3]) == 0) continue;
    for (int part = 0; part < 4; ++part) list.append(vecs[part], bits[part]);
  }
  for (; i < n && list.count <= kCandidates; i += kCount) {
    const Vec<T> vec =
        i + kCount <= n ? load(row + i) : load_part(row + i, n - i, -static_cast<T>(kInfinity));
    list.append(vec, bits_not_within<T>(vec, bound));
  }
}

// Whether more than half of the first entries of a row are above the bound: a list of the row would be long.
template <class T>
inline bool begins_flat(const T* row, int64_t n, T bound) {
  constexpr int64_t kProbe = kBlock<T>;
  if (n <= kProbe) return false;
  int64_t above = 0;
  for (int64_t i = 0; i < kProbe; i += Lanes<T>::count) {
    above += __builtin_popcountll(bits_not_within<T>(load(row + i), broadcast(bound)));
  }
  return above > kProbe / 2;
}

// A list in `buffer`, which may be the row. With more than kCandidates entries it is not complete.
template <class T>
[[gnu::always_inline]] inline LaneList<T> collect(const T* row, int64_t n, T bound, T* buffer) {
  LaneList<T> list{buffer};
  if (begins_flat(row, n, bound)) {
    list.count = kCandidates + 1;
    return list;
  }
  append_above(row, n, broadcast(bound), list);
  list.finish();
  return list;
}

template <class T>
bool has_nan(const T* row, int64_t n) {
  auto unordered = Vec<T>{} != Vec<T>{};
  int64_t i = 0;
  for (; i + Lanes<T>::count <= n; i += Lanes<T>::count) {
    const Vec<T> vec = load(row + i);
    unordered |= vec != vec;
  }
  if (i < n) {
    const Vec<T> vec = load_part(row + i, n - i, T(0));
    unordered |= vec != vec;
  }
  return lane_bits<T>(unordered) != 0;
}

// f at every entry z_j: the sum over the scores z_i above it of (z_i - z_j)^k. V is a vector of T. A score
// that is not a number makes every f one; -inf only its own.
template <class Rule, class T, class V, int kVecs>
[[gnu::always_inline]] inline void excess(const V (&entries)[kVecs], int64_t n, V (&f)[kVecs]) {
  constexpr int kStep = sizeof(V) / sizeof(T) < 4 ? 2 : 4;
  constexpr int kSums = kVecs == 1 ? kStep : 2;  // one chain of dependent additions would be slower
  alignas(64) T scores[kVecs * sizeof(V) / sizeof(T)];
  __builtin_memcpy(scores, entries, sizeof(scores));
  asm("" : "+m"(scores));  // a broadcast from memory is free, one from a register is not
  V sums[kSums][kVecs]{};
  for (int64_t i = 0; i < n; i += kStep) {
    for (int64_t lane = 0; lane < kStep; ++lane) {
      for (int64_t v = 0; v < kVecs; ++v) {
        V& sum = sums[lane % kSums][v];
        sum = Rule::add_share(sum, negative_part(entries[v] - scores[i + lane]));
      }
    }
  }
  for (int64_t v = 0; v < kVecs; ++v) {
    f[v] = sums[0][v] + sums[1][v];
    if constexpr (kSums == 4) f[v] += sums[2][v] + sums[3][v];
  }
}

// The numbers up to 32 as double: converting them would wait for the register's last use.
alignas(64) constexpr double kCounts[33] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                            11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                            22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};

// Exact threshold of a few scores in registers, filled up with -inf, without a loop whose length depends on
// their values: entry j belongs to the support iff f(z_j) < kLimit. An entry within rounding of the
// threshold may be taken for a member, which moves tau by less than that rounding. NaN if a score is one.
template <class Rule, class T, class V, int kVecs>
[[gnu::always_inline]] inline T few_threshold(const V (&entries)[kVecs], int64_t n, T maximum) {
  constexpr int kParts = sizeof(V) / sizeof(T) / kWide;
  constexpr T kLimit = static_cast<T>(Rule::kLimit);
  const double largest = static_cast<double>(maximum);
  V f[kVecs];
  excess<Rule, T>(entries, n, f);
  Wide y[kVecs * kParts];
  int64_t count = 0;
  for (int v = 0; v < kVecs; ++v) {
    const auto member = f[v] < kLimit;
    count += __builtin_popcountll(lane_bits<T>(member));
    const V kept = member ? entries[v] : maximum - V{};
    y[v * kParts] = (wide_part<0>(kept) - largest) * Rule::kScale;
    if constexpr (kParts == 2) y[v * kParts + 1] = (wide_part<1>(kept) - largest) * Rule::kScale;
  }
  if (count == 0) return static_cast<T>(__builtin_nan(""));
  return static_cast<T>(Rule::closed_form(y, kCounts[count]));
}

template <class Rule>
[[gnu::always_inline]] inline float head_threshold(Vec<float> entries, int64_t n, float maximum) {
  if (kWide == 8 && n <= kWide)
    return few_threshold<Rule, float, HalfFloats, 1>({lower_half(entries)}, kWide, maximum);
  return few_threshold<Rule, float, Vec<float>, 1>({entries}, n, maximum);
}

template <class Rule>
[[gnu::always_inline]] inline double head_threshold(Vec<double> entries, int64_t n, double maximum) {
  return few_threshold<Rule, double, Vec<double>, 1>({entries}, n, maximum);
}

// A lower bound of tau, as a score, from the largest entries of the lanes: the largest of them with f >= 1,
// for it lies at or below the threshold of those entries.
template <class Rule, class T>
[[gnu::always_inline]] inline T lane_bound(Vec<T> peaks, T bound) {
  constexpr T kLimit = static_cast<T>(1.00001 * Rule::kLimit);  // f is rounded
  Vec<T> f[1];
  excess<Rule, T, Vec<T>, 1>({peaks}, Lanes<T>::count, f);
  const T candidate = lane_maximum<T>(f[0] > kLimit ? peaks : broadcast(bound));
  return candidate > bound ? rounded_down(candidate) : bound;
}

// The same for many candidates: an iteration on the list, or on the whole row while `count` says that the
// list is not complete, until few are left. tau >= start.
template <class Rule, class T>
[[gnu::noinline]] T many_threshold(const T* row, int64_t n, int64_t count, T maximum, T* buffer, T start) {
  constexpr int64_t kCount = Lanes<T>::count;
  bool complete = count <= kCandidates;
  if (has_nan(complete ? buffer : row, complete ? count : n)) return static_cast<T>(__builtin_nan(""));
  Rule rule;
  rule.tau = static_cast<double>(start);
  if (rule.begin(complete ? buffer : row, complete ? count : n, static_cast<double>(maximum)))
    return static_cast<T>(rule.tau);
  while (!rule.improve(complete ? buffer : row, complete ? count : n, static_cast<double>(maximum))) {
    // Leaving out what fell below the bound costs as much as a round of the iteration.
    if (rule.members > static_cast<double>(complete ? count : n) / 2) continue;
    const T bound = rounded_down(static_cast<T>(static_cast<double>(maximum) + rule.tau / Rule::kScale));
    const LaneList<T> list = collect(complete ? buffer : row, complete ? count : n, bound, buffer);
    count = list.count;
    complete = count <= kCandidates;
    if (count <= kCount) return head_threshold<Rule>(list.head, count, maximum);
  }
  return static_cast<T>(rule.tau);
}

template <class Rule, class T>
[[gnu::always_inline]] inline T list_threshold(const T* row, int64_t n, const LaneList<T>& list, T maximum,
                                               T start = T(-1)) {
  constexpr int64_t kCount = Lanes<T>::count;
  if (list.count <= kCount) return head_threshold<Rule>(list.head, list.count, maximum);
  if (list.count <= 2 * kCount) {
    return few_threshold<Rule, T, Vec<T>, 2>({load(list.entries), load(list.entries + kCount)}, list.count,
                                             maximum);
  }
  return many_threshold<Rule>(row, n, list.count, maximum, list.entries, start);
}

// What lies at or below it has no weight.
template <class Rule, class T>
[[gnu::always_inline]] inline T first_bound(const RowPeak<T>& peak) {
  const T bound = rounded_down(peak.maximum - static_cast<T>(1.0 / Rule::kScale));
  return Rule::kSharpen ? lane_bound<Rule>(peak.lanes, bound) : bound;
}

// tau relative to the maximum; NaN if a score is one.
template <class Rule, class T>
[[gnu::always_inline]] inline T row_threshold(const T* row, int64_t n, const RowPeak<T>& peak) {
  constexpr int64_t kCount = Lanes<T>::count;
  if (n <= kCount) {
    const Vec<T> entries = n < kCount ? load_part(row, n, -static_cast<T>(kInfinity)) : load(row);
    return head_threshold<Rule>(entries, n, peak.maximum);
  }
  alignas(64) T buffer[kBuffer<T>];
  return list_threshold<Rule>(row, n, collect(row, n, first_bound<Rule>(peak), buffer), peak.maximum);
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
