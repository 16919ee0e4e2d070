// A row's list of candidates in global memory, for one warp: the bound that follows from it, and leaving out
// what lies below. In: lower bounds of scores with their keys, and what bounds the errors of the row
// (attention_codes.cuh). A list is four interleaved ones, because four lanes append to it: entry i is in use
// if part i % 4 has more than i / 4 entries.
#pragma once

#include "ops/cuda/attention_codes.cuh"
#include "ops/cuda/long_row.cuh"

namespace giantrabbit::ops::cuda {

// Candidates of all rows, (b * heads + h) * queries + i.
struct CandidateRows {
  int32_t* keys;          // [rows, kListCapacity]
  unsigned char* counts;  // [rows, kParts] entries of each part; of wide rows kWideRow
  float* lower;           // while the keys are filtered: [blocks at work, kCodedQueries, kListCapacity]
};
constexpr unsigned char kWideRow = 255;

struct RowCandidates {
  int32_t* keys;
  float* lower;  // bounds of the scores
};

// How far below the largest score a key can lie and still have a weight.
template <class Rule>
constexpr float kReach = static_cast<float>(1.0 / Rule::kScale);

// A bound of scores as it comes out of a few roundings, of numbers up to `largest`.
__device__ inline float lowered(float bound, float largest) {
  return bound - (4e-6F + 4e-7F * fabsf(largest));
}

// What a lane knows of a row of scores and of its part of the list.
struct FilteredRow {
  float error;  // A and Q of the row's code
  float length;
  float bound;  // scores with a weight lie above it; infinity: the row is wide, nothing is looked for
  int end;      // entry of the list that the lane writes next, less the number of its part
  int limit;    // of `end`, behind which the list is shrunk: twice what was left last time

  __device__ bool wide() const { return bound == kInfinity<float>; }
  __device__ void make_wide() { bound = kInfinity<float>; }
  __device__ float error_at(float2 key_bounds) const {
    return multiply_add(error, key_bounds.x, length * key_bounds.y);
  }
};

constexpr int kParts = 4;
constexpr int kFirstLimit = 64;                       // of entries: early ones cost more than they save
constexpr int kMostLeft = kListCapacity - kStepKeys;  // between steps, of a row that is not wide

// The bounds of a list spread over the lanes, in rounds of one per lane.
struct LaneCandidates {
  static constexpr int kRounds = kListCapacity / kWarp;
  float lower[kRounds];

  // end: of the part that the lane reads.
  __device__ LaneCandidates(const float* list, int end) {
#pragma unroll
    for (int round = 0; round < kRounds; ++round) {
      const int i = round * kWarp + lane_index();
      lower[round] = i < end ? list[i] : -kInfinity<float>;
    }
  }

  __device__ float largest() const {
    float value = lower[0];
#pragma unroll
    for (int round = 1; round < kRounds; ++round) value = fmaxf(value, lower[round]);
    return WarpGroup().largest(value);
  }

  // A bound of tau from below. Every step of the iteration is one; the first few come close.
  template <class Rule>
  __device__ float tau_bound(float maximum) const {
    constexpr int kSteps = 3;
    constexpr float kIterationError = 1e-5F;  // as in find_tau() (row_rules.cuh)
    float tau = -1.0F;
    int members = kEverybody;
    for (int step = 0; step < kSteps; ++step) {
      MemberSums<float> sums;
#pragma unroll
      for (int round = 0; round < kRounds; ++round) {
        const float distance = distance_above<Rule>(lower[round], maximum, tau);
        if (distance > 0.0F) sums.add(distance);
      }
      sums.combine(WarpGroup(), Rule::kSquares);
      if (Rule::improve(sums, tau, members)) break;
    }
    return tau - kIterationError;
  }
};

// Raises the row's bound to that of its list and leaves out what cannot have a weight; the order stays. Lane
// l brings the end of part l % 4 and gets the new one. Lanes read a stretch of the list, then write before or
// into it.
template <class Rule>
__device__ void shrink(const RowCandidates& list, const float2* key_bounds, FilteredRow& row) {
  __syncwarp();
  const LaneCandidates own(list.lower, row.end);
  const float largest = own.largest();
  row.bound = fmaxf(row.bound, lowered(largest + own.tau_bound<Rule>(largest) * kReach<Rule>, largest));
  int left = 0;
#pragma unroll
  for (int round = 0; round < LaneCandidates::kRounds; ++round) {
    const int i = round * kWarp + lane_index();
    const int key = i < row.end ? list.keys[i] : 0;
    const float error = row.error_at(key_bounds[key / kStepKeys]);
    const bool kept = own.lower[round] + 2.0F * error > row.bound;
    const unsigned keeping = __ballot_sync(kAllLanes, kept);
    __syncwarp();
    if (kept) {
      const int at = left + __popc(keeping & ((1U << lane_index()) - 1));
      list.lower[at] = own.lower[round];
      list.keys[at] = key;
    }
    left += __popc(keeping);
  }
  __syncwarp();
  row.limit = left < kFirstLimit / 2 ? kFirstLimit : left < kMostLeft / 2 ? 2 * left : kMostLeft;
  row.end = (left + kParts - 1 - lane_index() % kParts) / kParts * kParts;
  if (left > kMostLeft) {
    row.make_wide();
    row.end = 0;
  }
}

}  // namespace giantrabbit::ops::cuda
