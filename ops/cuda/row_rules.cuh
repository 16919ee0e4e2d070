// What sparsemax and entmax-1.5 differ in, and the iteration to their threshold tau. In: a group of threads
// and entries (x) of one row with their maximum. Out: tau in double, relative to the maximum. Note [Sparsemax
// threshold] in ops/reference/sparsemax.cpp holds: entries are read as y = (x - maximum) * kScale, tau lies
// in [-1, 0), tau of a part of a row is a lower bound of tau of the row, and whatever lies at or below a
// lower bound has weight 0.
#pragma once

#include "ops/cuda/device.cuh"

namespace giantrabbit::ops::cuda {

// Sums over the members: the entries above the bound, by their distance from it.
template <class T>
struct MemberSums {
  int count = 0;
  T sum{};
  T squares{};
  T smallest = kInfinity<T>;

  __device__ void add(T distance) {
    ++count;
    sum += distance;
    squares += distance * distance;
    smallest = distance < smallest ? distance : smallest;
  }

  template <class Group>
  __device__ void combine(const Group& group, bool with_squares) {
    count = group.sum(count);
    sum = group.sum(sum);
    if (!with_squares) return;
    squares = group.sum(squares);
    smallest = -group.largest(-smallest);
  }
};

constexpr int kEverybody = std::numeric_limits<int>::max();

// A rule raises a lower bound `tau`; improve() returns true once it is the answer for the members. `members`
// is the number of members in the round before. Both rules are those of ops/cpu/row_rules.h.

struct SparsemaxRule {
  static constexpr double kScale = 1.0;
  static constexpr bool kSquares = false;

  // Michelot's iteration.
  template <class T>
  __device__ static bool improve(const MemberSums<T>& sums, T& tau, int& members) {
    if (sums.count >= members) return true;
    members = sums.count;
    tau += (sums.sum - T(1)) / static_cast<T>(sums.count);
    return false;
  }

  // From the distance y - tau > 0 of an entry.
  __device__ static double weight(double distance) { return distance; }
  __device__ static double power(double distance) { return distance * distance; }  // of the loss: p^2
  static constexpr double kEntropy = 0.5;
  // Of the gradient: s = p^(1 - 1/k), k the exponent of the weight.
  template <class T>
  __device__ static T root(T) {
    return T(1);
  }
};

struct Entmax15Rule {
  static constexpr double kScale = 0.5;
  static constexpr bool kSquares = true;

  // Newton's iteration on |max(y - tau, 0)|_2 = 1. Once the closed form for the members keeps them all it is
  // the answer; from afar it is computed a second time, close by, because its differences of squares cancel.
  template <class T>
  __device__ static bool improve(const MemberSums<T>& sums, T& tau, int&) {
    const T count = static_cast<T>(sums.count);
    const T mean = sums.sum / count;
    const T room = (T(1) - (sums.squares - sums.sum * mean)) / count;
    const T step = mean - square_root(room > T(0) ? room : T(0));
    const bool final_members = step < sums.smallest;
    const T next = tau + (final_members ? step : (sums.squares - square_root(sums.squares)) / sums.sum);
    const bool rises = next > tau;
    if (rises || final_members) tau = next;
    return !rises || (final_members && sums.squares < T(2));
  }

  __device__ static double weight(double distance) { return distance * distance; }
  __device__ static double power(double distance) { return distance * distance * distance; }  // p^1.5
  static constexpr double kEntropy = 4.0 / 3.0;
  template <class T>
  __device__ static T root(T weight) {
    return square_root(weight);
  }
};

// y - bound. For float entries in reach the difference of scores is exact to the last bits of a double.
template <class Rule, class T, class M>
__device__ T distance_above(M x, M maximum, T bound) {
  return (static_cast<T>(x) - static_cast<T>(maximum)) * static_cast<T>(Rule::kScale) - bound;
}

// Whether an entry can have a weight, as far as the maximum tells. Rounding is monotone, so y > -1 implies
// it.
template <class Rule, class M>
__device__ bool in_reach(M x, M maximum) {
  return (x - maximum) * static_cast<M>(Rule::kScale) >= M(-1);
}

template <class Rule, class T, class Group, class Entries, class M>
__device__ T iterate(const Group& group, const Entries& entries, M maximum, T tau) {
  int members = kEverybody;
  for (;;) {
    MemberSums<T> sums;
    entries.for_each([&](M x) {
      const T distance = distance_above<Rule>(x, maximum, tau);
      if (distance > T(0)) sums.add(distance);
    });
    sums.combine(group, Rule::kSquares);
    if (Rule::improve(sums, tau, members)) return tau;
  }
}

// tau of the entries; the largest of them must be `maximum`. Few float entries are searched in float first.
// There a thread adds at most 32 numbers and the group 5 times more: tau is off by less than 40 * 2^-24 * 2,
// so that tau less kFloatError is a lower bound again, from which two or three rounds in double lead to the
// end.
template <class Rule, class Group, class Entries, class M>
__device__ double find_tau(const Group& group, const Entries& entries, M maximum) {
  constexpr double kFloatError = 1e-5;
  double start = -1.0;
  if constexpr (Entries::kFew && sizeof(M) == sizeof(float)) {
    start = static_cast<double>(iterate<Rule>(group, entries, maximum, -1.0F)) - kFloatError;
    start = start > -1.0 ? start : -1.0;
  }
  return iterate<Rule>(group, entries, maximum, start);
}

// A row once its threshold is known.
enum class RowKind {
  empty,
  usual,
  undefined
};  // nothing permitted; weights exist; NaN or +inf among the scores

template <class M>
struct RowThreshold {
  RowKind kind;
  M maximum;
  double tau;
};

// Weight of an entry, rounded once.
template <class Rule, class M>
__device__ M weight_of(M x, const RowThreshold<M>& threshold) {
  if (threshold.kind == RowKind::undefined) return kNan<M>;
  if (threshold.kind == RowKind::empty || !in_reach<Rule>(x, threshold.maximum)) return M(0);
  const double distance = distance_above<Rule>(x, threshold.maximum, threshold.tau);
  return distance > 0.0 ? static_cast<M>(Rule::weight(distance)) : M(0);
}

// Loss of a row, see ops/cpu/sparsemax_loss_kernel.cpp: sum p (z - z_target) + (1 - sum power) * kEntropy.
template <class Rule, class M>
struct LossSums {
  const RowThreshold<M>& threshold;
  M target_logit;
  double expected = 0.0;
  double power = 0.0;

  __device__ void add(M x) {
    if (!in_reach<Rule>(x, threshold.maximum)) return;
    const double distance = distance_above<Rule>(x, threshold.maximum, threshold.tau);
    if (!(distance > 0.0)) return;
    expected += Rule::weight(distance) * (static_cast<double>(x) - static_cast<double>(target_logit));
    power += Rule::power(distance);
  }

  template <class Group>
  __device__ M loss(const Group& group) {
    expected = group.sum(expected);
    power = group.sum(power);
    if (threshold.kind == RowKind::empty) return M(0);
    if (threshold.kind == RowKind::undefined) return kNan<M>;
    const double loss = expected + (1.0 - power) * Rule::kEntropy;
    return static_cast<M>(loss < 0.0 ? 0.0 : loss);  // rounding must not make a loss negative
  }
};

}  // namespace giantrabbit::ops::cuda
