// Attention forward with softmax, sparsemax or entmax-1.5, exact: one warp per query, eight queries per
// block. Of sparse rows the first sweep over the keys keeps the candidates (long_row.cuh), and only values
// with a weight are read. Rows whose lists stay full are wide: the block sweeps once per round of the
// iteration to tau, and once for the result, as it does for softmax. Definition and contract:
// ops/sparse_mask_attention.h.
#pragma once

#include <type_traits>

#include "ops/cuda/attention_sweep.cuh"
#include "ops/cuda/long_row.cuh"

namespace giantrabbit::ops::cuda {

constexpr int kLaneColumns = 4;  // columns of the result per lane at a time
constexpr int kPassColumns = kLaneColumns * kWarp;

template <class M>
struct AttentionMemory {
  CandidateList<M> lists[kBlockWarps];
  TileMemory<M> tile;
  unsigned char parts[BlockGroup::kPartBytes];
};

__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }

// Values of a head and where the warp's row of the result goes.
template <class Stored>
struct ValueRows {
  const Stored* value;
  int64_t row;
  int64_t width;
  Stored* result;
};

// Some columns of one row of the result, spread over the lanes.
template <class Stored>
struct ResultColumns {
  using M = Math<Stored>;
  const ValueRows<Stored>& rows;
  int64_t first;
  M sums[kLaneColumns]{};

  // The same key and weight in every lane.
  __device__ void add(int64_t key, M weight) {
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) {
      const int64_t column = first + k * kWarp + lane_index();
      if (column < rows.width) {
        const M value = widened(rows.value[key * rows.row + column]);
        sums[k] = multiply_add(weight, value, sums[k]);
      }
    }
  }

  __device__ void store() const {
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) {
      const int64_t column = first + k * kWarp + lane_index();
      if (column < rows.width) put(rows.result + column, sums[k]);
    }
  }
};

// Softmax: the weight of a score is exp(score - maximum) / total.
template <class M>
struct SoftmaxRow {
  M maximum = -kInfinity<M>;
  M total = M(0);
  bool undefined = false;

  // One score per lane; total is the lane's own until finish().
  __device__ void add(M score) {
    undefined |= !(score < kInfinity<M>);
    if (__any_sync(kAllLanes, score > maximum)) {
      const M larger_one = WarpGroup().largest(score > maximum ? score : maximum);
      total *= exponential(maximum - larger_one);
      maximum = larger_one;
    }
    if (score > -kInfinity<M>) total += exponential(score - maximum);
  }

  __device__ void finish() {
    undefined = WarpGroup().any(undefined);
    total = WarpGroup().sum(total);
  }

  __device__ M weight(M score) const {
    return score > -kInfinity<M> ? exponential(score - maximum) / total : M(0);
  }
};

// The result by a sweep over all keys, for the rows for which `wanted` holds. The whole block comes here.
template <class Stored, class M, class Weight>
__device__ void sum_by_sweep(const QueryBlock<Stored>& block, const ValueRows<Stored>& rows,
                             TileMemory<M>& memory, bool wanted, Weight weight) {
  for (int64_t first = 0; first < rows.width; first += kPassColumns) {
    ResultColumns<Stored> columns{rows, first};
    sweep_scores(block, memory, [&](int j, M score) {
      const M own = wanted ? weight(score) : M(0);
      unsigned left = __ballot_sync(kAllLanes, own != M(0));
      while (left != 0) {
        const int lane = __ffs(static_cast<int>(left)) - 1;
        columns.add(j - lane_index() + lane, __shfl_sync(kAllLanes, own, lane));
        left &= left - 1;
      }
    });
    if (wanted && block.exists()) columns.store();
  }
}

// A row without a weight in it: zeros, or NaN where a score is.
template <class Stored>
__device__ void fill_result(const ValueRows<Stored>& rows, Math<Stored> value) {
  for (int64_t column = lane_index(); column < rows.width; column += kWarp) put(rows.result + column, value);
}

template <class Rule, class Stored, class M>
__device__ void sum_by_list(const CandidateList<M>& list, int count, M maximum,
                            const ValueRows<Stored>& rows) {
  __syncwarp();
  const double tau = find_tau<Rule>(WarpGroup(), ListEntries<M>{&list, &count, 1}, maximum);
  const RowThreshold<M> threshold{RowKind::usual, maximum, tau};
  for (int64_t first = 0; first < rows.width; first += kPassColumns) {
    ResultColumns<Stored> columns{rows, first};
    for (int i = 0; i < count; ++i) {
      const M weight = weight_of<Rule>(list.values[i], threshold);
      if (weight != M(0)) columns.add(list.places[i], weight);
    }
    columns.store();
  }
}

// tau of the wide rows of the block, a sweep per round; rows that are done go on sweeping with the others.
template <class Rule, class Stored, class M>
__device__ double find_wide_tau(const QueryBlock<Stored>& block, AttentionMemory<M>& memory, bool wide,
                                M maximum) {
  const BlockGroup group{memory.parts};
  double tau = -1.0;
  int members = kEverybody;
  bool done = !wide;
  while (group.any(!done)) {
    MemberSums<double> sums;
    sweep_scores(block, memory.tile, [&](int, M score) {
      const double distance = distance_above<Rule>(score, maximum, tau);
      if (distance > 0.0) sums.add(distance);
    });
    sums.combine(WarpGroup(), Rule::kSquares);
    if (!done) done = Rule::improve(sums, tau, members);
  }
  return tau;
}

template <class Rule, class Stored, class M>
__device__ void attend_sparsely(const QueryBlock<Stored>& block, const ValueRows<Stored>& rows,
                                AttentionMemory<M>& memory) {
  CandidateList<M>& list = memory.lists[warp_index()];
  Collector<Rule, M> collector(list);
  sweep_scores(block, memory.tile, [&](int j, M score) { collector.add(score, j); });
  const bool undefined = WarpGroup().any(collector.undefined());
  const bool empty = collector.maximum() == -kInfinity<M>;
  const bool wide = collector.wide() && !undefined;
  if (block.exists() && !wide) {
    if (undefined || empty) {
      fill_result(rows, undefined ? kNan<M> : M(0));
    } else {
      sum_by_list<Rule>(list, collector.count(), collector.maximum(), rows);
    }
  }
  if (!BlockGroup{memory.parts}.any(wide)) return;
  const double tau = find_wide_tau<Rule>(block, memory, wide, collector.maximum());
  const RowThreshold<M> threshold{RowKind::usual, collector.maximum(), tau};
  sum_by_sweep(block, rows, memory.tile, wide, [&](M score) { return weight_of<Rule>(score, threshold); });
}

template <class Stored, class M>
__device__ void attend_densely(const QueryBlock<Stored>& block, const ValueRows<Stored>& rows,
                               AttentionMemory<M>& memory) {
  SoftmaxRow<M> row;
  sweep_scores(block, memory.tile, [&](int, M score) { row.add(score); });
  row.finish();
  if (block.exists() && row.undefined) fill_result(rows, kNan<M>);
  sum_by_sweep(block, rows, memory.tile, !row.undefined, [&](M score) { return row.weight(score); });
}

constexpr int kAttentionBlocks =
    2;  // per multiprocessor: left alone, ptxas aims at more and spills registers

// Rule: void for softmax.
template <class Rule, class Stored>
__global__ void __launch_bounds__(kBlockThreads, kAttentionBlocks)
    attention_forward(AttentionProblem problem, const Stored* query, const Stored* key, const Stored* value,
                      Stored* result) {
  using M = Math<Stored>;
  auto& memory = *reinterpret_cast<AttentionMemory<M>*>(dynamic_shared_memory());
  const int64_t blocks_per_head = (problem.queries + kBlockWarps - 1) / kBlockWarps;
  const int64_t head = blockIdx.x / blocks_per_head;
  const int64_t b = head / problem.heads;
  const int64_t h = head % problem.heads;
  const QueryBlock<Stored> block =
      make_query_block(problem, query, key, b, h, blockIdx.x % blocks_per_head * kBlockWarps);
  const int64_t value_head = h / (problem.heads / problem.key_heads);
  const ValueRows<Stored> rows{
      value + b * problem.value.batch + value_head * problem.value.head, problem.value.row,
      problem.value_width,
      result + b * problem.result.batch + h * problem.result.head + block.own_query() * problem.result.row};
  if constexpr (std::is_void_v<Rule>) {
    attend_densely(block, rows, memory);
  } else {
    attend_sparsely<Rule>(block, rows, memory);
  }
}

}  // namespace giantrabbit::ops::cuda
