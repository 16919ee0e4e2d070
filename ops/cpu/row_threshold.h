// Threshold tau of a sparsemax or entmax-1.5 row, without sorting: a row and its maximum in, tau relative to
// the maximum out. Part of row_functions.cpp, compiled once per instruction set. Few candidates are solved in
// registers, more by an iteration; sums and closed forms are in double. See Note [Sparsemax threshold] in
// ops/reference/sparsemax.cpp.
#pragma once

#include "ops/cpu/row_vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// Scores are read as y = (z - maximum) * scale: the largest y is 0 and tau lies in [-1, 0). A
// rule holds a lower bound `tau` that rises with every improve(), and the number of entries above the bound
// before that; improve() returns true once tau is the answer. Whatever lies at or below the bound may be
// missing from its scores.

struct SupportSums {
  double maximum;
  double tau;
  Wide count{};
  Wide sum{};

  void add(Wide score) {
    const Wide y = score - maximum;
    count += y > tau ? broadcast(1.0) : Wide{};
    sum += y > tau ? y : Wide{};
  }
  void merge(const SupportSums& other) {
    count += other.count;
    sum += other.sum;
  }
};

// Michelot's iteration: every set that contains the support gives a lower bound of tau; entries below it
// leave.
struct SparsemaxRule {
  static constexpr double kScale = 1.0;
  static constexpr bool kSharpen = false;  // few entries lie above -1
  double tau = -1.0;
  double members = kInfinity;

  template <class T>
  bool improve(const T* scores, int64_t n, double maximum) {
    const SupportSums sums = sum_row(scores, n, -kInfinity, SupportSums{maximum, tau});
    const double previous = members;
    members = lane_sum(sums.count);
    if (members >= previous) return true;
    tau = (lane_sum(sums.sum) - 1.0) / members;
    return false;
  }

  static constexpr double kLimit = 1.0;  // the support has f < kLimit in units of the scores
  template <class V>
  static V add_share(V f, V distance) {  // distance is not positive
    return f - distance;
  }

  // The closed form for a support of `count` entries y; lanes beside them hold 0.
  template <int kParts>
  static double closed_form(const Wide (&y)[kParts], double count) {
    Wide sum = y[0];
    for (int part = 1; part < kParts; ++part) sum += y[part];
    return (lane_sum(sum) - 1.0) / count;
  }
};

struct DistanceSums {
  double maximum;
  double scale;
  double tau;
  Wide count{};
  Wide sum{};
  Wide squares{};
  Wide smallest = broadcast(kInfinity);

  void add(Wide score) {
    const Wide distance = (score - maximum) * scale - tau;
    const Wide kept = distance > 0.0 ? distance : Wide{};
    count += distance > 0.0 ? broadcast(1.0) : Wide{};
    sum += kept;
    squares += kept * kept;
    const Wide nearer = distance < smallest ? distance : smallest;
    smallest = distance > 0.0 ? nearer : smallest;
  }
  void merge(const DistanceSums& other) {
    count += other.count;
    sum += other.sum;
    squares += other.squares;
    smallest = other.smallest < smallest ? other.smallest : smallest;
  }
};

// Newton's iteration on |max(y - tau, 0)|_2 = 1, which is convex: from the left it stays on the left. Once
// the closed form for the current members keeps them all, it is the answer; from afar it is computed a second
// time, close by, because its differences of squares cancel.
struct Entmax15Rule {
  static constexpr double kScale = 0.5;
  static constexpr bool kSharpen = true;
  double tau = -1.0;
  double members = kInfinity;

  template <class T>
  bool improve(const T* scores, int64_t n, double maximum) {
    const DistanceSums sums = sum_row(scores, n, -kInfinity, DistanceSums{maximum, kScale, tau});
    members = lane_sum(sums.count);
    const double total = lane_sum(sums.sum);
    const double squares = lane_sum(sums.squares);
    const double nearest = -lane_maximum<double>(-sums.smallest);
    const double mean = total / members;
    const double room = (1.0 - (squares - total * mean)) / members;
    const double step = mean - __builtin_sqrt(room > 0.0 ? room : 0.0);
    const bool final_members = step < nearest;
    const double next = tau + (final_members ? step : (squares - __builtin_sqrt(squares)) / total);
    const bool rises = next > tau;
    if (rises || final_members) tau = next;
    return !rises || (final_members && squares < 2.0);
  }

  static constexpr double kLimit = 4.0;
  template <class V>
  static V add_share(V f, V distance) {
    return f + distance * distance;
  }

  // y lies in (-1, 0] and 1 - sum_S (y - mean)^2 is at least 1 / count, so the difference of sums keeps its
  // digits.
  template <int kParts>
  static double closed_form(const Wide (&y)[kParts], double count) {
    Wide sum = y[0];
    Wide squares = y[0] * y[0];
    for (int part = 1; part < kParts; ++part) {
      sum += y[part];
      squares += y[part] * y[part];
    }
    const double total = lane_sum(sum);
    const double mean = total / count;
    return mean - __builtin_sqrt((1.0 - (lane_sum(squares) - total * mean)) / count);
  }
};

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

constexpr int64_t kCandidates = 512;

// The scores above `bound`, and those that are not a number, in the order of the row. If there are more than
// kCandidates the list is not complete. `buffer` may be the row.
template <class T>
[[gnu::always_inline]] inline LaneList<T> collect(const T* row, int64_t n, T bound, T* buffer) {
  constexpr int64_t kCount = Lanes<T>::count;
  const Vec<T> bounds = broadcast(bound);
  LaneList<T> list{buffer};
  int64_t i = 0;
  for (; i + 4 * kCount <= n && list.count <= kCandidates; i += 4 * kCount) {
    Vec<T> vecs[4];
    uint64_t bits[4];
    for (int part = 0; part < 4; ++part) {
      vecs[part] = load(row + i + part * kCount);
      bits[part] = bits_not_within<T>(vecs[part], bounds);
    }
    if ((bits[0] | bits[1] | bits[2] | bits[3]) == 0) continue;
    for (int part = 0; part < 4; ++part) list.append(vecs[part], bits[part]);
  }
  for (; i < n && list.count <= kCandidates; i += kCount) {
    const Vec<T> vec =
        i + kCount <= n ? load(row + i) : load_part(row + i, n - i, -static_cast<T>(kInfinity));
    list.append(vec, bits_not_within<T>(vec, bounds));
  }
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
// list is not complete, until few are left.
template <class Rule, class T>
[[gnu::noinline]] T many_threshold(const T* row, int64_t n, int64_t count, T maximum, T* buffer) {
  constexpr int64_t kCount = Lanes<T>::count;
  bool complete = count <= kCandidates;
  if (has_nan(complete ? buffer : row, complete ? count : n)) return static_cast<T>(__builtin_nan(""));
  Rule rule;
  while (!rule.improve(complete ? buffer : row, complete ? count : n, static_cast<double>(maximum))) {
    const T bound = rounded_down(static_cast<T>(static_cast<double>(maximum) + rule.tau / Rule::kScale));
    const LaneList<T> list = collect(complete ? buffer : row, complete ? count : n, bound, buffer);
    count = list.count;
    complete = count <= kCandidates;
    if (count <= kCount) return head_threshold<Rule>(list.head, count, maximum);
  }
  return static_cast<T>(rule.tau);
}

// Collects what lies above the bound as soon as it fits, solves it in registers as soon as it is few.
template <class Rule, class T>
[[gnu::always_inline]] inline T row_threshold(const T* row, int64_t n, const RowPeak<T>& peak) {
  constexpr int64_t kCount = Lanes<T>::count;
  const T maximum = peak.maximum;
  if (n <= kCount) {
    return head_threshold<Rule>(n < kCount ? load_part(row, n, -static_cast<T>(kInfinity)) : load(row), n,
                                maximum);
  }
  alignas(64) T buffer[kCandidates + 8 * kCount];
  T bound = rounded_down(maximum - static_cast<T>(1.0 / Rule::kScale));
  if (Rule::kSharpen) bound = lane_bound<Rule>(peak.lanes, bound);
  const LaneList<T> list = collect(row, n, bound, buffer);
  if (list.count <= kCount) return head_threshold<Rule>(list.head, list.count, maximum);
  if (list.count <= 2 * kCount) {
    return few_threshold<Rule, T, Vec<T>, 2>({load(buffer), load(buffer + kCount)}, list.count, maximum);
  }
  return many_threshold<Rule>(row, n, list.count, maximum, buffer);
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
