// Weights of a row of scores once its state is known, and sums of rows of values. In: scores, or keys with
// their weights. Out: the same bits wherever a weight is computed again.
#pragma once

#include <type_traits>

#include "ops/cuda/attention_sweep.cuh"
#include "ops/cuda/row_rules.cuh"

namespace giantrabbit::ops::cuda {

constexpr int kLaneColumns = 4;  // columns of a sum of rows per lane at a time
constexpr int kPassColumns = kLaneColumns * kWarp;

__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }

// What all weights of a row follow from: the largest score, -inf where nothing is permitted and NaN where
// every weight is, and tau, or of softmax the sum of the exponentials. Rule: void for softmax.
template <class Rule, class M>
struct RowState {
  M maximum;
  double bound;

  __device__ M weight(M score) const {
    if (score == -kInfinity<M>) return M(0);
    if (maximum != maximum) return kNan<M>;
    if constexpr (std::is_void_v<Rule>) {
      return exponential(score - maximum) / static_cast<M>(bound);
    } else {
      return weight_of<Rule>(score, RowThreshold<M>{RowKind::usual, maximum, bound});
    }
  }

  __device__ bool undefined() const { return maximum != maximum; }
  __device__ bool empty() const { return maximum == -kInfinity<M>; }

  __device__ void write(double* states, int64_t row) const {
    states[2 * row] = maximum;
    states[2 * row + 1] = bound;
  }
  __device__ static RowState read(const double* states, int64_t row) {
    return {static_cast<M>(states[2 * row]), states[2 * row + 1]};
  }
};

// s: the gradient of a score is s * (g - mean), g that of its weight and mean the mean of g by s.
template <class Rule, class M>
__device__ double gradient_root(M weight) {
  if constexpr (std::is_void_v<Rule>) {
    return static_cast<double>(weight);
  } else {
    // Of sparsemax the root is 1, of NaN too.
    return static_cast<double>(weight != weight ? weight : Rule::root(weight));
  }
}

// The mean of the gradients of a row's weights; each lane adds some.
template <class Rule>
struct GradientMean {
  double total = 0.0;
  double product = 0.0;

  template <class M>
  __device__ void add(M weight, M grad) {
    const double root = gradient_root<Rule>(weight);
    total += root;
    product += root * static_cast<double>(grad);
  }

  __device__ double mean() const { return WarpGroup().sum(product) / WarpGroup().sum(total); }
};

template <class Rule, class M>
__device__ M score_gradient(M weight, M grad, double mean) {
  return static_cast<M>(gradient_root<Rule>(weight) * (static_cast<double>(grad) - mean));
}

// Some columns of a sum of rows, spread over the lanes.
template <class Stored>
struct ColumnSums {
  using M = Math<Stored>;
  int64_t first;
  int64_t width;
  M sums[kLaneColumns]{};

  // The same row and factor in every lane.
  __device__ void add(const Stored* row, M factor) {
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) {
      const int64_t column = first + k * kWarp + lane_index();
      if (column < width) sums[k] = multiply_add(factor, widened(row[column]), sums[k]);
    }
  }

  __device__ void store(Stored* row, M factor = M(1)) const {
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) {
      const int64_t column = first + k * kWarp + lane_index();
      if (column < width) put(row + column, sums[k] * factor);
    }
  }
};

// Calls function(value, index of its lane) for the values that are not 0, in the order of the lanes.
template <class M, class Function>
__device__ void for_each_nonzero(M value, Function function) {
  unsigned left = __ballot_sync(kAllLanes, value != M(0));
  while (left != 0) {
    const int lane = __ffs(static_cast<int>(left)) - 1;
    function(__shfl_sync(kAllLanes, value, lane), lane);
    left &= left - 1;
  }
}

}  // namespace giantrabbit::ops::cuda
