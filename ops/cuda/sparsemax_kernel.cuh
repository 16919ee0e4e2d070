// sparsemax and entmax-1.5 over contiguous rows, and their gradients. Rows of up to 1,024 entries belong to a
// warp and stay in its registers; longer ones belong to a block, which reads them once, writes zeros and puts
// the few weights in their places (wide rows are read again). Definition and contract: ops/sparsemax.h.
#pragma once

#include "ops/cuda/long_row.cuh"
#include "ops/cuda/short_row.cuh"

namespace giantrabbit::ops::cuda {

template <class Rule, class Stored, int kPerLane>
__global__ void __launch_bounds__(kShortRowThreads)
    normalize_short_rows(int64_t rows, int n, const Stored* scores, Stored* weights) {
  using M = Math<Stored>;
  const int64_t row = int64_t{blockIdx.x} * kShortRowWarps + warp_index();
  if (row >= rows) return;  // a whole warp, and nobody meets at a barrier
  ShortRow<M, kPerLane> entries;
  entries.load(scores + row * n, n);
  M* const lists = reinterpret_cast<M*>(dynamic_shared_memory());
  const RowThreshold<M> threshold = entries.template threshold<Rule>(lists + warp_index() * kWarp);
#pragma unroll
  for (int k = 0; k < kPerLane; ++k) {
    const int j = lane_index() + k * kWarp;
    if (j < n) put(weights + row * n + j, weight_of<Rule>(entries.values[k], threshold));
  }
}

template <class Rule, class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    normalize_long_rows(int n, const Stored* scores, Stored* weights) {
  using M = Math<Stored>;
  auto& memory = *reinterpret_cast<LongRowMemory<M>*>(dynamic_shared_memory());
  const Stored* const row = scores + int64_t{blockIdx.x} * n;
  Stored* const row_weights = weights + int64_t{blockIdx.x} * n;
  const LongRowResult<M> result = sweep_row<Rule>(row, n, memory, [&](int j) { put(row_weights + j, M(0)); });
  const RowThreshold<M>& threshold = result.threshold;
  if (threshold.kind == RowKind::empty) return;
  if (result.wide || threshold.kind == RowKind::undefined) {
    for (int j = static_cast<int>(threadIdx.x); j < n; j += kBlockThreads)
      put(row_weights + j, weight_of<Rule>(widened(row[j]), threshold));
    return;
  }
  const CandidateList<M>& list = memory.lists[warp_index()];
  for (int i = lane_index(); i < memory.counts[warp_index()]; i += kWarp)
    put(row_weights + list.places[i], weight_of<Rule>(list.values[i], threshold));
}

// s * (g - q) with q = sum(s g) / sum(s) over the support: the Jacobian is symmetric, so weights are all it
// needs.
template <class Rule, class Group, class Stored>
__device__ void normalize_row_backward(const Group& group, int n, const Stored* grad, const Stored* weights,
                                       Stored* grad_scores) {
  using M = Math<Stored>;
  double sum = 0.0;
  double product = 0.0;
  // Two at a time keep full occupancy; left alone, ptxas unrolls until it spills registers.
#pragma unroll 2
  for (int j = group.rank(); j < n; j += group.size()) {
    const M weight = widened(weights[j]);
    if (weight == M(0)) continue;
    const double root = static_cast<double>(Rule::root(weight));
    sum += root;
    product += root * static_cast<double>(widened(grad[j]));
  }
  sum = group.sum(sum);
  product = group.sum(product);
  const double mean = product / sum;  // not used where nothing is permitted
#pragma unroll 2
  for (int j = group.rank(); j < n; j += group.size()) {
    const M weight = widened(weights[j]);
    M value = M(0);
    if (weight != M(0)) {
      // Of sparsemax the root is 1, of NaN too.
      const double root = static_cast<double>(weight != weight ? weight : Rule::root(weight));
      value = static_cast<M>(root * (static_cast<double>(widened(grad[j])) - mean));
    }
    put(grad_scores + j, value);
  }
}

template <class Rule, class Stored>
__global__ void __launch_bounds__(kShortRowThreads)
    normalize_short_rows_backward(int64_t rows, int n, const Stored* grad, const Stored* weights,
                                  Stored* grad_scores) {
  const int64_t row = int64_t{blockIdx.x} * kShortRowWarps + warp_index();
  if (row >= rows) return;
  normalize_row_backward<Rule>(WarpGroup(), n, grad + row * n, weights + row * n, grad_scores + row * n);
}

template <class Rule, class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    normalize_long_rows_backward(int n, const Stored* grad, const Stored* weights, Stored* grad_scores) {
  const int64_t first = int64_t{blockIdx.x} * n;
  normalize_row_backward<Rule>(BlockGroup{dynamic_shared_memory()}, n, grad + first, weights + first,
                               grad_scores + first);
}

}  // namespace giantrabbit::ops::cuda
