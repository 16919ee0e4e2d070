// A row of at most 1,024 entries in the registers of one warp: entry lane + 32 k is values[k] of that lane.
// Out: its threshold. A row is read once.
#pragma once

#include <type_traits>

#include "ops/cuda/row_rules.cuh"

namespace giantrabbit::ops::cuda {

constexpr int kShortRowWarps = 4;  // per block, a row each
constexpr int kShortRowThreads = kShortRowWarps * kWarp;
template <class M>
constexpr int kLongestShortRow = 4096 / sizeof(M);  // with more per lane, registers are spilled

// The entries a lane holds; those past the end of the row are -inf.
template <class M, int kPerLane>
struct LaneEntries {
  static constexpr bool kFew = true;
  const M (&values)[kPerLane];

  template <class Function>
  __device__ void for_each(Function function) const {
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) function(values[k]);
  }
};

template <class M, int kPerLane>
struct ShortRow {
  M values[kPerLane];

  template <class Stored>
  __device__ void load(const Stored* row, int n) {
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      const int j = lane_index() + k * kWarp;
      values[k] = j < n ? widened(row[j]) : -kInfinity<M>;
    }
  }

  // `list` is shared memory for kWarp entries, for this warp only.
  template <class Rule>
  __device__ RowThreshold<M> threshold(M* list) const {
    const WarpGroup warp;
    M maximum = -kInfinity<M>;
    bool undefined = false;
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      maximum = values[k] > maximum ? values[k] : maximum;
      undefined |= !(values[k] < kInfinity<M>);
    }
    if (warp.any(undefined)) return {RowKind::undefined, maximum, 0.0};
    maximum = warp.largest(maximum);
    if (maximum == -kInfinity<M>) return {RowKind::empty, maximum, 0.0};
    int candidates = 0;
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) candidates += in_reach<Rule>(values[k], maximum) ? 1 : 0;
    if (warp.sum(candidates) > kWarp) {
      return {RowKind::usual, maximum, find_tau<Rule>(warp, LaneEntries<M, kPerLane>{values}, maximum)};
    }
    const M candidate[1] = {gathered<Rule>(maximum, list)};
    return {RowKind::usual, maximum, find_tau<Rule>(warp, LaneEntries<M, 1>{candidate}, maximum)};
  }

 private:
  // The few entries in reach, one per lane, in a fixed order.
  template <class Rule>
  __device__ M gathered(M maximum, M* list) const {
    int count = 0;
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      const bool kept = in_reach<Rule>(values[k], maximum);
      const unsigned keeping = __ballot_sync(kAllLanes, kept);
      if (kept) list[count + __popc(keeping & ((1U << lane_index()) - 1))] = values[k];
      count += __popc(keeping);
    }
    __syncwarp();
    return lane_index() < count ? list[lane_index()] : -kInfinity<M>;
  }
};

// Calls function(number of entries per lane as a constant) for rows of this length.
template <class M, class Function>
int with_entries_per_lane(int64_t length, const Function& function) {
  if (length <= 2 * kWarp) return function(std::integral_constant<int, 2>{});
  if (length <= 8 * kWarp) return function(std::integral_constant<int, 8>{});
  return function(std::integral_constant<int, kLongestShortRow<M> / kWarp>{});
}

}  // namespace giantrabbit::ops::cuda
