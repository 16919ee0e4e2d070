// What sparsemax and entmax-1.5 differ in: the iteration towards tau and its closed form, in double. Part of
// row_functions.cpp. See Note [Sparsemax threshold] in ops/reference/sparsemax.cpp.
#pragma once

#include "ops/cpu/row_loops.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// Scores are read as y = (z - maximum) * scale: the largest y is 0 and tau lies in [-1, 0). A
// rule holds a lower bound `tau` that rises with every improve(), and the number of entries above the bound
// before that; improve() returns true once tau is the answer. Whatever lies at or below the bound may be
// missing from its scores.

template <class T>
struct SupportSums {
  T maximum;
  T tau;
  Vec<T> count{};
  Vec<T> sum{};

  void add(Vec<T> score) {
    const Vec<T> y = score - maximum;
    count += y > tau ? broadcast(T(1)) : Vec<T>{};
    sum += y > tau ? y : Vec<T>{};
  }
};

struct SupportTotals {
  Wide count{};
  Wide sum{};

  template <class T>
  void merge(const SupportSums<T>& sums) {
    count += wide_sum(sums.count);
    sum += wide_sum(sums.sum);
  }
};

// Sum and least of all scores, those below -1 taken for -1: none of them has a weight either way.
template <class T>
struct WholeSums {
  T maximum;
  Vec<T> sum{};
  Vec<T> least{};

  void add(Vec<T> score) {
    const Vec<T> y = larger(score - maximum, broadcast(T(-1)));
    sum += y;
    least = y < least ? y : least;
  }
};

struct WholeTotals {
  Wide sum{};
  Wide depth{};  // the least score is the deepest below the maximum

  template <class T>
  void merge(const WholeSums<T>& sums) {
    sum += wide_sum(sums.sum);
    depth = larger(depth, larger(-wide_part<0>(sums.least), -wide_part<1>(sums.least)));
  }
};

// Michelot's iteration: every set that contains the support gives a lower bound of tau; entries below it
// leave.
struct SparsemaxRule {
  static constexpr double kScale = 1.0;
  static constexpr bool kSharpen = false;  // few entries lie above -1
  double tau = -1.0;
  double members = kInfinity;

  // The first round, whose set is all scores: true if all of them are the support.
  template <class T>
  bool begin(const T* scores, int64_t n, double maximum) {
    constexpr int64_t kCount = Lanes<T>::count;
    WholeTotals totals;
    sum_row(scores, n, WholeSums<T>{static_cast<T>(maximum)}, totals);
    members = static_cast<double>((n + kCount - 1) / kCount * kCount);  // lanes past the end count as -1
    const double next = (lane_sum(totals.sum) - 1.0) / members;
    tau = next > tau ? next : tau;
    return -lane_maximum<double>(totals.depth) > tau;
  }

  template <class T>
  bool improve(const T* scores, int64_t n, double maximum) {
    SupportTotals totals;
    sum_row(scores, n, SupportSums<T>{static_cast<T>(maximum), static_cast<T>(tau)}, totals);
    const double previous = members;
    members = lane_sum(totals.count);
    if (members >= previous) return true;
    tau = (lane_sum(totals.sum) - 1.0) / members;
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

template <class T>
struct DistanceSums {
  T maximum;
  T scale;
  T tau;
  Vec<T> count{};
  Vec<T> sum{};
  Vec<T> squares{};
  Vec<T> smallest = broadcast(static_cast<T>(kInfinity));

  void add(Vec<T> score) {
    const Vec<T> distance = (score - maximum) * scale - tau;
    const Vec<T> kept = distance > T(0) ? distance : Vec<T>{};
    count += distance > T(0) ? broadcast(T(1)) : Vec<T>{};
    sum += kept;
    squares += kept * kept;
    const Vec<T> nearer = distance < smallest ? distance : smallest;
    smallest = distance > T(0) ? nearer : smallest;
  }
};

struct DistanceTotals {
  Wide count{};
  Wide sum{};
  Wide squares{};
  double smallest = kInfinity;

  template <class T>
  void merge(const DistanceSums<T>& sums) {
    count += wide_sum(sums.count);
    sum += wide_sum(sums.sum);
    squares += wide_sum(sums.squares);
    const double nearest = -static_cast<double>(lane_maximum<T>(-sums.smallest));
    smallest = nearest < smallest ? nearest : smallest;
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
  bool begin(const T* /*scores*/, int64_t /*n*/, double /*maximum*/) {
    return false;  // its first round needs no other sums than the next ones
  }

  template <class T>
  bool improve(const T* scores, int64_t n, double maximum) {
    DistanceTotals totals;
    sum_row(scores, n, DistanceSums<T>{static_cast<T>(maximum), static_cast<T>(kScale), static_cast<T>(tau)},
            totals);
    members = lane_sum(totals.count);
    const double total = lane_sum(totals.sum);
    const double squares = lane_sum(totals.squares);
    const double nearest = totals.smallest;
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

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
