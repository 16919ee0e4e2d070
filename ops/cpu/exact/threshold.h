// Thresholds of sparsemax and entmax-1.5 over lists of scores: exact, for any list that holds the support.
// Scores in; the largest score, the threshold relative to it, and a bound on scores out. Invariant: a score
// at or below the bound has weight 0 in any row that contains the list (Note [Exact by bounds]). Definition
// of the threshold: Note [Sparsemax threshold] in ops/reference/sparsemax.cpp.
#pragma once

#include <type_traits>

#include "ops/cpu/exact/vectors.h"
#include "ops/cpu/row_threshold.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// Scores are read as y = factor (score - maximum): the largest y is 0 and tau lies in [-1, 0).
template <exact::Rule rule>
constexpr float kScoreFactor = rule == exact::Rule::sparsemax ? 1.0f : 0.5f;

struct Threshold {
  float maximum;
  float tau;    // of y
  float bound;  // of scores
};

// The threshold as a bound on scores, lowered by more than the rounding of its computation.
template <exact::Rule rule, class V>
inline V score_bound(V maximum, V magnitude, V tau) {
  return maximum + tau * (1.0f / kScoreFactor<rule>)-(1.0f + magnitude) * 4e-6f;
}

// Largest scores of the lanes of a list.
inline Vec<float> list_peaks(const float* scores, int64_t count) {
  Vec<float> best = broadcast(-kFloatInfinity);
  int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) best = larger(best, load(scores + j));
  if (j < count) best = larger(best, keep_lanes(load(scores + j), ~(kAllKeys << (count - j))));
  return best;
}

template <exact::Rule rule>
inline Threshold long_list_threshold(const float* scores, int64_t count) {
  using RowRule = std::conditional_t<rule == exact::Rule::sparsemax, SparsemaxRule, Entmax15Rule>;
  const Vec<float> peaks = list_peaks(scores, count);
  const float maximum = lane_maximum<float>(peaks);
  const float tau = row_threshold<RowRule>(scores, count, RowPeak<float>{peaks, maximum});
  return {maximum, tau, score_bound<rule>(maximum, __builtin_fabsf(maximum), tau)};
}

// Lists of several rows at once, a row per lane: short lists cost more in reductions and mispredicted
// branches than in arithmetic. Scores [count][kGroupRows], -infinity behind the end of a shorter list.
constexpr int64_t kGroupRows = 16;
constexpr int64_t kGroupVectors = kGroupRows / kLanes;
constexpr int64_t kShortList = 64;

struct GroupScores {
  alignas(64) float values[kShortList][kGroupRows];
};

// Members of the support so far, of one vector of rows: y above the bound, measured from it.
struct LaneSums {
  Vec<float> count{};
  Vec<float> sum{};
  Vec<float> squares{};
  Vec<float> nearest = broadcast(kFloatInfinity);
};

template <exact::Rule rule>
inline LaneSums lane_sums(const GroupScores& scores, int64_t count, int64_t v, Vec<float> maximum,
                          Vec<float> tau) {
  constexpr float kFactor = kScoreFactor<rule>;
  LaneSums sums;
  for (int64_t k = 0; k < count; ++k) {
    // The difference first: a large maximum would swallow tau.
    const Vec<float> distance = (load(scores.values[k] + v * kLanes) - maximum) * kFactor - tau;
    const auto member = distance > 0.0f;
    const Vec<float> kept = member ? distance : Vec<float>{};
    sums.sum += kept;
    sums.count += member ? broadcast(1.0f) : Vec<float>{};
    if constexpr (rule == exact::Rule::entmax15) {
      sums.squares += kept * kept;
      sums.nearest = member && distance < sums.nearest ? distance : sums.nearest;
    }
  }
  return sums;
}

// Raises lower bounds of the thresholds of one vector of rows to the thresholds. Rows without scores get NaN.
//
// Sparsemax: Michelot's iteration, (sum - 1) / count of the members until none leaves; the last round finds
// nothing to correct but rounding.
template <exact::Rule rule>
inline Vec<float> lane_thresholds(const GroupScores& scores, int64_t count, int64_t v, Vec<float> maximum,
                                  Vec<float> tau) requires(rule == exact::Rule::sparsemax) {
  constexpr uint64_t kEveryLane = kAllKeys >> (64 - kLanes);
  Vec<float> members = broadcast(kFloatInfinity);
  for (uint64_t leaving = kEveryLane; leaving != 0;) {
    const LaneSums sums = lane_sums<rule>(scores, count, v, maximum, tau);
    tau += (sums.sum - 1.0f) / sums.count;
    leaving = bits_above(members, sums.count) & bits_above(sums.count, Vec<float>{});
    members = sums.count;
  }
  return tau;
}

// Entmax-1.5: Newton's method until the solution for the current members, mean - sqrt((1 - squares about the
// mean) / count), keeps them all; it is taken again from close by, where its differences do not cancel.
inline Vec<float> solution_of_members(const LaneSums& sums) {
  const Vec<float> mean = sums.sum / sums.count;
  const Vec<float> room = (1.0f - (sums.squares - sums.sum * mean)) / sums.count;
  return mean - square_root(larger(room, Vec<float>{}));
}

template <exact::Rule rule>
inline Vec<float> lane_thresholds(const GroupScores& scores, int64_t count, int64_t v, Vec<float> maximum,
                                  Vec<float> tau) requires(rule == exact::Rule::entmax15) {
  constexpr uint64_t kEveryLane = kAllKeys >> (64 - kLanes);
  for (uint64_t done = 0; done != kEveryLane;) {
    const LaneSums sums = lane_sums<rule>(scores, count, v, maximum, tau);
    const Vec<float> solution = solution_of_members(sums);
    const uint64_t kept = bits_above(sums.nearest, solution);
    const Vec<float> step = larger((sums.squares - square_root(sums.squares)) / sums.sum, Vec<float>{});
    const uint64_t rises = bits_above(tau + step, tau);
    tau += select_lanes(kept, solution, step);
    done |= kept | (~rises & kEveryLane);
  }
  return tau + solution_of_members(lane_sums<rule>(scores, count, v, maximum, tau));
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
