// Weighted sums of rows for a warp: columns spread over the lanes, and the softmax of scores that come one
// per lane at a time. In: rows in memory and weights. Out: sums in the order in which the rows came.
#pragma once

#include "ops/cuda/device.cuh"

namespace giantrabbit::ops::cuda {

constexpr int kColumnsPerLane = 4;
constexpr int kColumnsPerPass = kColumnsPerLane * kWarp;

__device__ inline float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ inline double fused(double a, double b, double c) { return fma(a, b, c); }
__device__ inline float exp_of(float x) { return expf(x); }
__device__ inline double exp_of(double x) { return exp(x); }

// Columns first .. first + kColumnsPerPass of a sum.
template <class M>
struct ColumnSums {
  int64_t first;
  M sums[kColumnsPerLane]{};

  __device__ int64_t column(int k) const { return first + k * kWarp + lane_index(); }

  // The same row and weight in every lane.
  template <class Stored>
  __device__ void add(const Stored* row, int64_t width, M weight) {
#pragma unroll
    for (int k = 0; k < kColumnsPerLane; ++k) {
      if (column(k) < width) sums[k] = fused(weight, widened(row[column(k)]), sums[k]);
    }
  }

  // A weight per lane and its row, row_at(lane); in the order of the lanes. Rows without weight are not read.
  template <class RowAt>
  __device__ void add_lanes(RowAt row_at, int64_t width, M weight) {
    unsigned left = __ballot_sync(kAllLanes, weight != M(0));
    while (left != 0) {
      const int lane = __ffs(static_cast<int>(left)) - 1;
      const M of_lane = __shfl_sync(kAllLanes, weight, lane);
      add(row_at(lane), width, of_lane);
      left &= left - 1;
    }
  }

  // What has no weight any more may be infinite.
  __device__ void scale(M factor) {
#pragma unroll
    for (int k = 0; k < kColumnsPerLane; ++k) sums[k] = factor == M(0) ? M(0) : sums[k] * factor;
  }

  // Calls store(column, sum) for every column below the width.
  template <class Store>
  __device__ void for_each(int64_t width, Store store) const {
#pragma unroll
    for (int k = 0; k < kColumnsPerLane; ++k) {
      if (column(k) < width) store(column(k), sums[k]);
    }
  }
};

// Softmax of some scores: exp(score - maximum). `total` is the lane's own until finish().
template <class M>
struct SoftmaxSum {
  M maximum = -kInfinity<M>;
  M total = M(0);
  bool undefined = false;

  // One score per lane; returns by what the sums so far shrink.
  __device__ M add(M score) {
    undefined |= !(score < kInfinity<M>);
    M factor = M(1);
    if (__any_sync(kAllLanes, score > maximum)) {
      const M larger_one = WarpGroup().largest(score > maximum ? score : maximum);
      factor = exp_of(maximum - larger_one);
      maximum = larger_one;
    }
    total = total * factor + weight(score);
    return factor;
  }

  __device__ M weight(M score) const { return score > -kInfinity<M> ? exp_of(score - maximum) : M(0); }

  __device__ void finish() {
    undefined = WarpGroup().any(undefined);
    total = WarpGroup().sum(total);
  }
};

}  // namespace giantrabbit::ops::cuda
