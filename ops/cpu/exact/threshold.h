// Thresholds of sparsemax and entmax-1.5 over a list of scores: exact, for any list that holds the support.
// Scores in; the largest score, the threshold relative to it, and a bound on scores out. Invariant: a score
// at or below the bound has weight 0 in any row that contains the list (Note [Exact by bounds]). Definition
// of the threshold: Note [Sparsemax threshold] in ops/reference/sparsemax.cpp.
#pragma once

#include "ops/cpu/exact/vectors.h"
#include "ops/cpu/row_threshold.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

struct Threshold {
  float maximum;
  float tau;    // of score - maximum (sparsemax) or half of it (entmax15)
  float bound;  // of scores
};

// A short list stays in registers.
constexpr int64_t kShortVectors = 32 / kLanes;
constexpr int64_t kShortList = 32;

struct ShortList {
  Vec<float>
      values[kShortVectors];  // relative to the maximum, so the largest is 0; -infinity behind the list
};

// y is in the support if the y above it exceed it by less than 1 in total.
inline float short_sparsemax(const ShortList& list, const float* relative, int64_t count) {
  Vec<float> excess[kShortVectors] = {};
  for (int64_t i = 0; i < count; ++i) {
    const Vec<float> value = broadcast(relative[i]);
#pragma GCC unroll 8
    for (int64_t j = 0; j < kShortVectors; ++j) excess[j] += larger(value - list.values[j], Vec<float>{});
  }
  Vec<float> sum{};
  Vec<float> members{};
#pragma GCC unroll 8
  for (int64_t j = 0; j < kShortVectors; ++j) {
    sum += excess[j] < 1.0f ? list.values[j] : Vec<float>{};
    members += excess[j] < 1.0f ? broadcast(1.0f) : Vec<float>{};
  }
  return (lane_total(sum) - 1.0f) / lane_total(members);
}

// For the k largest y the threshold is mean - sqrt((1 - squares about the mean) / k); y is in the support if
// that of all values not smaller than y lies below it. One step of Newton's method takes back what the
// difference of squares lost.
inline float short_entmax15(const ShortList& list, const float* relative, int64_t count) {
  Vec<float> members[kShortVectors] = {};
  Vec<float> sums[kShortVectors] = {};
  Vec<float> squares[kShortVectors] = {};
  for (int64_t i = 0; i < count; ++i) {
    const Vec<float> value = broadcast(relative[i]);
#pragma GCC unroll 8
    for (int64_t j = 0; j < kShortVectors; ++j) {
      const Vec<float> kept = value >= list.values[j] ? value : Vec<float>{};
      members[j] += value >= list.values[j] ? broadcast(1.0f) : Vec<float>{};
      sums[j] += kept;
      squares[j] += kept * kept;
    }
  }
  float tau = -1.0f;
  Vec<float> best = broadcast(-kFloatInfinity);
#pragma GCC unroll 8
  for (int64_t j = 0; j < kShortVectors; ++j) {
    const Vec<float> mean = sums[j] / members[j];
    const Vec<float> room = (1.0f - (squares[j] - sums[j] * mean)) / members[j];
    const Vec<float> candidate = mean - square_root(larger(room, Vec<float>{}));
    best = larger(best, candidate < list.values[j] ? candidate : broadcast(-kFloatInfinity));
  }
  const float found = lane_maximum(best);
  tau = found > tau ? found : tau;
  Vec<float> total{};
  Vec<float> total_squares{};
#pragma GCC unroll 8
  for (int64_t j = 0; j < kShortVectors; ++j) {
    const Vec<float> root = larger(list.values[j] - tau, Vec<float>{});
    total += root;
    total_squares += root * root;
  }
  return tau + (lane_total(total_squares) - 1.0f) / (2.0f * lane_total(total));
}

template <exact::Rule rule>
inline float short_threshold(const float* scores, int64_t count, float maximum) {
  constexpr float kFactor = rule == exact::Rule::sparsemax ? 1.0f : 0.5f;
  alignas(64) float relative[kShortList];
  ShortList list;
#pragma GCC unroll 8
  for (int64_t j = 0; j < kShortVectors; ++j) {
    const int64_t left = count - j * kLanes;
    const uint64_t bits = left >= kLanes ? kAllKeys : left <= 0 ? 0 : ~(kAllKeys << left);
    list.values[j] = keep_lanes((load(scores + j * kLanes) - maximum) * kFactor, bits);
    store(relative + j * kLanes, list.values[j]);
  }
  return rule == exact::Rule::sparsemax ? short_sparsemax(list, relative, count)
                                        : short_entmax15(list, relative, count);
}

inline float list_maximum(const float* scores, int64_t count) {
  Vec<float> best = broadcast(-kFloatInfinity);
  int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) best = larger(best, load(scores + j));
  if (j < count) best = larger(best, keep_lanes(load(scores + j), ~(kAllKeys << (count - j))));
  return lane_maximum(best);
}

// `scores` is readable for 32 floats and a whole vector behind the list.
template <exact::Rule rule>
inline Threshold list_threshold(const float* scores, int64_t count) {
  constexpr bool kSparsemax = rule == exact::Rule::sparsemax;
  Threshold result{list_maximum(scores, count), 0, -kFloatInfinity};
  if (result.maximum == -kFloatInfinity) return result;
  if (count <= kShortList) {
    result.tau = short_threshold<rule>(scores, count, result.maximum);
  } else if constexpr (kSparsemax) {
    result.tau = row_threshold<SparsemaxRule>(scores, count, result.maximum);
  } else {
    result.tau = row_threshold<Entmax15Rule>(scores, count, result.maximum);
  }
  const float slack = 4e-6f * (1.0f + __builtin_fabsf(result.maximum));
  result.bound = result.maximum + (kSparsemax ? 1.0f : 2.0f) * result.tau - slack;
  return result;
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
