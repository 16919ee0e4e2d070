// Attention forward with softmax, sparsemax or entmax-1.5, exact, for every problem and for the rows that the
// tensor cores leave over (attention_refine.cuh): one warp per query, eight queries per block. Of sparse rows
// the first sweep over the keys keeps the candidates (long_row.cuh), and only values with a weight are read.
// Rows whose lists stay full are wide: the block sweeps once per round of the iteration to tau, and once for
// the result, as it does for softmax. Kept for the gradient and for the support operator: states of rows, and
// the entries of rows with few of them. Definition and contract: ops/sparse_mask_attention.h.
#pragma once

#include "ops/cuda/attention_rows.cuh"
#include "ops/cuda/long_row.cuh"

namespace giantrabbit::ops::cuda {

static_assert(kMostKeptKeys == kListCapacity && kQueriesPerBlock == kBlockWarps);

template <class M>
struct AttentionMemory {
  CandidateList<M> lists[kBlockWarps];
  TileMemory<M> tile;
  unsigned char parts[BlockGroup::kPartBytes];
};

// Values of a head and where the warp's row of the result goes.
template <class Stored>
struct ResultRow {
  HeadRows<Stored> values;
  Stored* result;
};

template <class Stored>
__device__ ResultRow<Stored> own_result_row(const QueryBlock<Stored>& block, const Stored* value,
                                            Stored* result) {
  const AttentionProblem& problem = block.problem;
  return {
      head_rows<Stored>(value, problem.value, block.b, block.key_head(), problem.keys, problem.value_width),
      result + block.b * problem.result.batch + block.h * problem.result.head +
          block.own_query() * problem.result.row};
}

// Softmax: the weight of a score is exp(score - maximum) / total.
template <class M>
struct SoftmaxRow {
  M maximum = -kInfinity<M>;
  M total = M(0);
  int permitted = 0;
  bool undefined = false;

  // One score per lane; total and permitted are the lane's own until finish().
  __device__ void add(M score) {
    undefined |= !(score < kInfinity<M>);
    permitted += score == -kInfinity<M> ? 0 : 1;
    if (__any_sync(kAllLanes, score > maximum)) {
      const M larger_one = WarpGroup().largest(score > maximum ? score : maximum);
      total *= exponential(maximum - larger_one);
      maximum = larger_one;
    }
    if (score > -kInfinity<M>) total += exponential(score - maximum);
  }

  __device__ RowState<void, M> finish() {
    permitted = WarpGroup().sum(permitted);
    const bool any_undefined = WarpGroup().any(undefined);
    const M sum = WarpGroup().sum(total);
    return {any_undefined ? kNan<M> : maximum, static_cast<double>(sum)};
  }
};

// The result by a sweep over all keys, for the rows that are wanted, and the lane's part of the number of
// weights that are not 0. The whole block comes here.
template <class Rule, class Stored, class M>
__device__ int sum_by_sweep(const QueryBlock<Stored>& block, const ResultRow<Stored>& row,
                            TileMemory<M>& memory, bool wanted, const RowState<Rule, M>& state) {
  int nonzero = 0;
  int64_t first = 0;
  do {
    ColumnSums<Stored> columns{first, row.values.width};
    sweep_scores(block, memory, wanted, [&](int j, M score) {
      const M own = state.weight(score);
      if (first == 0) nonzero += own != M(0) ? 1 : 0;
      for_each_nonzero(
          own, [&](M weight, int lane) { columns.add(row.values.at(j - lane_index() + lane), weight); });
    });
    if (wanted && block.exists()) columns.store(row.result);
    first += kPassColumns;
  } while (first < row.values.width);
  return nonzero;
}

// A row without a weight in it: zeros, or NaN where a score is.
template <class Stored>
__device__ void fill_result(const ResultRow<Stored>& row, Math<Stored> value) {
  for (int64_t column = lane_index(); column < row.values.width; column += kWarp)
    put(row.result + column, value);
}

// Turns the candidates into the weights that are not 0, in place, and returns how many there are. Lanes read
// a stretch of the list, then write before or into it.
template <class Rule, class M>
__device__ int keep_weights(CandidateList<M>& list, int count, const RowState<Rule, M>& state) {
  int kept = 0;
  for (int first = 0; first < count; first += kWarp) {
    const int i = first + lane_index();
    const M weight = i < count ? state.weight(list.values[i]) : M(0);
    const int place = i < count ? list.places[i] : 0;
    const unsigned keeping = __ballot_sync(kAllLanes, weight != M(0));
    __syncwarp();
    if (weight != M(0)) {
      const int at = kept + __popc(keeping & ((1U << lane_index()) - 1));
      list.values[at] = weight;
      list.places[at] = place;
    }
    kept += __popc(keeping);
  }
  __syncwarp();
  return kept;
}

// Entries of the row in the order of their keys; a row has each key once.
template <class M>
__device__ void keep_entries(const CandidateList<M>& list, int count, int64_t row, const KeptRows& kept) {
  for (int i = lane_index(); i < count; i += kWarp) {
    int before = 0;
    for (int other = 0; other < count; ++other) before += list.places[other] < list.places[i] ? 1 : 0;
    kept.keys[row * kept.capacity + before] = list.places[i];
    static_cast<M*>(kept.weights)[row * kept.capacity + before] = list.values[i];
  }
}

// What is kept of a row but its entries. Rows without entries are wide unless they are empty.
template <class Rule, class M>
__device__ void keep_row(const KeptRows& kept, int64_t row, const RowState<Rule, M>& state, int count,
                         bool has_entries) {
  if (lane_index() != 0) return;
  state.write(kept.states, row);
  kept.counts[row] = has_entries || kept.counts_wide_rows ? count : 0;
  if (kept.keys != nullptr && !has_entries) kept.keys[row * kept.capacity] = -1;
}

// Of left-over rows: beside what is known of the others.
__device__ inline void keep_wide_block(const KeptRows& kept, const BlockGroup& group, bool wide,
                                       bool left_over) {
  const bool any = group.any(wide);
  if (threadIdx.x == 0 && (any || !left_over)) kept.wide_blocks[blockIdx.x] = any ? 1 : 0;
}

// The row from its list of candidates; returns the number of its entries.
template <class Rule, class Stored, class M>
__device__ int sum_by_list(CandidateList<M>& list, int count, RowState<Rule, M>& state,
                           const ResultRow<Stored>& row) {
  __syncwarp();
  state.bound = find_tau<Rule>(WarpGroup(), ListEntries<M>{&list, &count, 1}, state.maximum);
  const int support = keep_weights(list, count, state);
  for (int64_t first = 0; first < row.values.width; first += kPassColumns) {
    ColumnSums<Stored> columns{first, row.values.width};
#pragma unroll 4
    for (int i = 0; i < support; ++i) columns.add(row.values.at(list.places[i]), list.values[i]);
    columns.store(row.result);
  }
  return support;
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
    sweep_scores(block, memory.tile, wide, [&](int, M score) {
      const double distance = distance_above<Rule>(score, maximum, tau);
      if (distance > 0.0) sums.add(distance);
    });
    sums.combine(WarpGroup(), Rule::kSquares);
    if (!done) done = Rule::improve(sums, tau, members);
  }
  return tau;
}

template <class Rule, class Stored, class M>
__device__ void attend_sparsely(const QueryBlock<Stored>& block, const ResultRow<Stored>& row,
                                AttentionMemory<M>& memory, const KeptRows& kept, bool left_over) {
  CandidateList<M>& list = memory.lists[warp_index()];
  Collector<Rule, M> collector(list);
  int count = 0;  // permitted keys first
  sweep_scores(block, memory.tile, true, [&](int j, M score) {
    count += score == -kInfinity<M> ? 0 : 1;
    collector.add(score, j);
  });
  const bool undefined = WarpGroup().any(collector.undefined());
  RowState<Rule, M> state{undefined ? kNan<M> : collector.maximum(), 0.0};
  const bool by_list = !undefined && !state.empty() && !collector.wide();
  const bool by_sweep = !undefined && collector.wide();
  count = WarpGroup().sum(count);
  if (block.exists()) {
    if (by_list) count = sum_by_list<Rule>(list, collector.count(), state, row);
    if (undefined || state.empty()) fill_result(row, undefined ? kNan<M> : M(0));
  }
  if (BlockGroup{memory.parts}.any(by_sweep)) {
    const double tau = find_wide_tau<Rule>(block, memory, by_sweep, collector.maximum());
    if (by_sweep) state.bound = tau;
    const int nonzero = WarpGroup().sum(sum_by_sweep(block, row, memory.tile, by_sweep, state));
    if (by_sweep) count = nonzero;
  }
  if (kept.states == nullptr) return;
  const bool has_entries = by_list && count <= kept.capacity;
  keep_wide_block(kept, BlockGroup{memory.parts}, block.exists() && !has_entries && !state.empty(),
                  left_over);
  if (!block.exists()) return;
  keep_row(kept, block.own_row(), state, count, has_entries);
  if (has_entries) keep_entries(list, count, block.own_row(), kept);
}

template <class Stored, class M>
__device__ void attend_densely(const QueryBlock<Stored>& block, const ResultRow<Stored>& row,
                               AttentionMemory<M>& memory, const KeptRows& kept) {
  SoftmaxRow<M> sums;
  sweep_scores(block, memory.tile, true, [&](int, M score) { sums.add(score); });
  const RowState<void, M> state = sums.finish();
  if (block.exists() && state.undefined()) fill_result(row, kNan<M>);
  sum_by_sweep(block, row, memory.tile, !state.undefined(), state);
  if (kept.states == nullptr) return;
  keep_wide_block(kept, BlockGroup{memory.parts}, block.exists() && !state.empty(), false);
  if (block.exists()) keep_row(kept, block.own_row(), state, sums.permitted, false);
}

constexpr int kAttentionBlocks =
    2;  // per multiprocessor: left alone, ptxas aims at more and spills registers

// left_over: null, or 1 for the rows that are wanted.
template <class Rule, class Stored>
__global__ void __launch_bounds__(kBlockThreads, kAttentionBlocks)
    attention_forward(AttentionProblem problem, const Stored* query, const Stored* key, const Stored* value,
                      Stored* result, KeptRows kept, const unsigned char* left_over) {
  using M = Math<Stored>;
  auto& memory = *reinterpret_cast<AttentionMemory<M>*>(dynamic_shared_memory());
  QueryBlock<Stored> block = own_query_block<Stored>(problem, query, key);
  if (left_over != nullptr) {
    block.done = block.exists() && left_over[block.own_row()] == 0;
    if (!BlockGroup{memory.parts}.any(block.exists())) return;
  }
  const ResultRow<Stored> row = own_result_row(block, value, result);
  if constexpr (std::is_void_v<Rule>) {
    attend_densely(block, row, memory, kept);
  } else {
    attend_sparsely<Rule>(block, row, memory, kept, left_over != nullptr);
  }
}

}  // namespace giantrabbit::ops::cuda
