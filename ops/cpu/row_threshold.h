// Threshold tau of a sparsemax or entmax-1.5 row, without sorting and in double: a row and its maximum in,
// tau relative to the maximum out. Part of row_functions.cpp, compiled once per instruction set. See Note
// [Sparsemax threshold] in ops/reference/sparsemax.cpp.
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
    count += y > tau ? Wide{} + 1.0 : Wide{};
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
  double tau = -1.0;
  double members = kInfinity;

  template <class T>
  bool improve(const T* scores, int64_t n, double maximum, double /*scale*/) {
    const SupportSums sums = sum_row(scores, n, -kInfinity, SupportSums{maximum, tau});
    const double previous = members;
    members = lane_sum(sums.count);
    if (members >= previous) return true;
    tau = (lane_sum(sums.sum) - 1.0) / members;
    return false;
  }
};

struct DistanceSums {
  double maximum;
  double scale;
  double tau;
  Wide count{};
  Wide sum{};
  Wide squares{};
  Wide smallest = Wide{} + kInfinity;

  void add(Wide score) {
    const Wide distance = (score - maximum) * scale - tau;
    const Wide kept = distance > 0.0 ? distance : Wide{};
    count += distance > 0.0 ? Wide{} + 1.0 : Wide{};
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
  double tau = -1.0;
  double members = kInfinity;

  template <class T>
  bool improve(const T* scores, int64_t n, double maximum, double scale) {
    const DistanceSums sums = sum_row(scores, n, -kInfinity, DistanceSums{maximum, scale, tau});
    members = lane_sum(sums.count);
    const double total = lane_sum(sums.sum);
    const double squares = lane_sum(sums.squares);
    double nearest = kInfinity;
    for (int64_t i = 0; i < kWide; ++i) nearest = sums.smallest[i] < nearest ? sums.smallest[i] : nearest;
    const double mean = total / members;
    const double room = (1.0 - (squares - total * mean)) / members;
    const double step = mean - __builtin_sqrt(room > 0.0 ? room : 0.0);
    const bool final_members = step < nearest;
    const double next = tau + (final_members ? step : (squares - __builtin_sqrt(squares)) / total);
    const bool rises = next > tau;
    if (rises || final_members) tau = next;
    return !rises || (final_members && squares < 2.0);
  }
};

constexpr int64_t kCandidates = 512;

// Copies y of every entry above the bound to `candidates` and fills the last vector up with -inf. Returns the
// count, a multiple of kWide, or -1 if there are more than `limit`.
template <class T>
int64_t collect_candidates(const T* row, int64_t n, T maximum, T scale, T bound, int64_t limit,
                           double* candidates) {
  constexpr int64_t kCount = Lanes<T>::count;
  constexpr int64_t kGroup = 4 * kCount;
  int64_t found = 0;
  for (int64_t i = 0; i < n; i += kGroup) {
    uint64_t bits = 0;
    for (int64_t part = 0; part < 4; ++part) {
      const int64_t begin = i + part * kCount;
      if (begin >= n) break;
      const Vec<T> scores = begin + kCount <= n
                                ? load(row + begin)
                                : load_part(row + begin, n - begin, -static_cast<T>(kInfinity));
      bits |= lane_bits<T>((scores - maximum) * scale > bound) << (part * kCount);
    }
    if (found + __builtin_popcountll(bits) > limit) return -1;
    for (; bits != 0; bits &= bits - 1) {
      const double score = static_cast<double>(row[i + __builtin_ctzll(bits)]);
      candidates[found++] = (score - static_cast<double>(maximum)) * static_cast<double>(scale);
    }
  }
  while (found % kWide != 0) candidates[found++] = -kInfinity;
  return found;
}

// Improves the bound on the whole row until few entries are above it, then on those alone.
template <class Rule, class T>
T row_threshold(const T* row, int64_t n, T maximum) {
  const int64_t share = n / 4 > 64 ? n / 4 : 64;
  const int64_t limit = share < kCandidates ? share : kCandidates;
  const T scale = static_cast<T>(Rule::kScale);
  double candidates[kCandidates];
  Rule rule;
  int64_t found = collect_candidates(row, n, maximum, scale, T(-1), limit, candidates);
  while (found < 0) {
    if (rule.improve(row, n, static_cast<double>(maximum), Rule::kScale)) return static_cast<T>(rule.tau);
    if (rule.members > static_cast<double>(limit)) continue;
    // Rounding tau to T may move it up past an entry, by less than that entry's weight counts.
    found = collect_candidates(row, n, maximum, scale, static_cast<T>(rule.tau), limit, candidates);
  }
  while (!rule.improve(candidates, found, 0.0, 1.0)) {
  }
  return static_cast<T>(rule.tau);
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
