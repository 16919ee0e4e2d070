// Gradients of attention by keys, one warp per key, eight keys per block. In: the operands, the result's
// gradient, the support by keys, and means and states of rows. Out: the gradients of keys and values. Every
// key sums over its entries in the order of the rows, then over the wide rows: for these the block computes
// weights again, 32 queries at a time, with the bits that the rows had.
#pragma once

#include "ops/cuda/attention_rows.cuh"

namespace giantrabbit::ops::cuda {

template <class M>
struct BackwardKeysMemory {
  TileMemory<M> tile;
  unsigned char parts[BlockGroup::kPartBytes];
};

template <class Stored>
struct KeySums {
  ColumnSums<Stored> key;
  ColumnSums<Stored> value;
};

// The keys of one block.
template <class Stored>
struct KeyBlock {
  using M = Math<Stored>;
  const AttentionProblem& problem;
  const AttentionOperands& operands;
  const AttentionSupportRows& support;
  const AttentionKeyGradients& gradients;
  HeadRows<Stored> keys;
  HeadRows<Stored> values;
  int64_t b;
  int64_t key_head;
  int64_t first;  // key of the first warp

  __device__ int64_t own_key() const { return first + warp_index(); }
  __device__ bool exists() const { return own_key() < problem.keys; }
  __device__ int64_t group() const { return problem.heads / problem.key_heads; }
  __device__ HeadRows<Stored> queries(int64_t h) const {
    return head_rows<Stored>(operands.query, problem.query, b, h, problem.queries, problem.width);
  }
  __device__ HeadRows<Stored> result_grads(int64_t h) const {
    return head_rows<Stored>(operands.result_grad, problem.result, b, h, problem.queries,
                             problem.value_width);
  }
};

template <class Stored>
__device__ Stored* row_of(void* data, const HeadsLayout& layout, int64_t b, int64_t h, int64_t i) {
  return static_cast<Stored*>(data) + b * layout.batch + h * layout.head + i * layout.row;
}

// The entries of the warp's key.
template <class Stored>
__device__ void add_entries(const KeyBlock<Stored>& block, const TransposedSupport& transposed,
                            KeySums<Stored>& sums) {
  using M = Math<Stored>;
  const AttentionProblem& problem = block.problem;
  const int64_t column = (block.b * problem.key_heads + block.key_head) * problem.keys + block.own_key();
  const int64_t begin = column == 0 ? 0 : transposed.cells[column * kTransposeParts - 1];
  const int64_t end = transposed.cells[(column + 1) * kTransposeParts - 1];
  const bool wants_key = block.gradients.key_grad != nullptr;
  const bool wants_value = block.gradients.value_grad != nullptr;
  const HeadRows<Stored> queries = block.queries(block.key_head * block.group());
  const HeadRows<Stored> result_grads = block.result_grads(block.key_head * block.group());
  for (int64_t first = begin; first < end; first += kWarp) {
    const int64_t at = smaller(first + lane_index(), end - 1);
    const int64_t h = transposed.rows[at] / problem.queries;  // in the group
    const int64_t i = transposed.rows[at] % problem.queries;
    const int64_t query = h * problem.query.head + i * problem.query.row;
    const int64_t result_grad = h * problem.result.head + i * problem.result.row;
    const M weight = static_cast<const M*>(transposed.weights)[at];
    const M grad = wants_key ? static_cast<const M*>(transposed.score_grads)[at] : M(0);
    const int count = static_cast<int>(smaller(kWarp, end - first));
    for (int entry = 0; entry < count; ++entry) {
      if (wants_value) {
        sums.value.add(result_grads.data + __shfl_sync(kAllLanes, result_grad, entry),
                       __shfl_sync(kAllLanes, weight, entry));
      }
      if (wants_key) {
        sums.key.add(queries.data + __shfl_sync(kAllLanes, query, entry),
                     __shfl_sync(kAllLanes, grad, entry));
      }
    }
  }
}

// The wide ones among 32 queries of head h. The whole block comes here.
template <class Rule, class Stored, class M>
__device__ void add_query_tile(const KeyBlock<Stored>& block, int64_t h, int64_t first, const double* means,
                               BackwardKeysMemory<M>& memory, KeySums<Stored>& sums) {
  const AttentionProblem& problem = block.problem;
  const int64_t i = first + lane_index();
  const int64_t j = block.own_key();
  const int64_t row = (block.b * problem.heads + h) * problem.queries + i;
  RowState<Rule, M> state{-kInfinity<M>, 0.0};
  bool sees = false;
  if (i < problem.queries && block.support.row_offsets[row] == block.support.row_offsets[row + 1]) {
    state = RowState<Rule, M>::read(block.support.states, row);
    const KeyRange visible = visible_keys(problem, block.b, i);
    sees = !state.empty() && visible.begin <= j && j < visible.end && lists_permit(problem, block.b, h, i, j);
  }
  if (!BlockGroup{memory.parts}.any(sees)) return;
  const HeadRows<Stored> queries = block.queries(h);
  const HeadRows<Stored> result_grads = block.result_grads(h);
  const M product = tile_product(block.keys, block.first, queries, first, memory.tile);
  M score = -kInfinity<M>;
  if (sees) score = score_of(problem, block.b, h, i, j, product);
  const M weight = state.weight(score);
  if (block.gradients.value_grad != nullptr) {
    for_each_nonzero(weight,
                     [&](M of_lane, int lane) { sums.value.add(result_grads.at(first + lane), of_lane); });
  }
  if (block.gradients.key_grad == nullptr) return;
  const M grad = tile_product(block.values, block.first, result_grads, first, memory.tile);
  const M own = weight != M(0) ? score_gradient<Rule>(weight, grad, means[row]) : M(0);
  for_each_nonzero(own, [&](M of_lane, int lane) { sums.key.add(queries.at(first + lane), of_lane); });
}

struct QueryRange {
  int64_t begin;
  int64_t end;
};

// Queries that may see a key of the block.
template <class Stored>
__device__ QueryRange seeing_queries(const KeyBlock<Stored>& block) {
  const AttentionProblem& problem = block.problem;
  const int64_t shift = problem.queries - problem.keys;
  const int64_t last = smaller(block.first + kBlockWarps, problem.keys) - 1;
  int64_t begin = 0;
  int64_t end = problem.queries;
  if (problem.causal) begin = larger(begin, block.first + shift);
  if (problem.window > 0) {
    begin = larger(begin, block.first + shift - problem.window + 1);
    end = smaller(end, last + shift + problem.window);
  }
  return {begin, end};
}

// The wide rows of head h: a flag per head, and one per block of the forward pass, tell where there are any.
template <class Rule, class Stored, class M>
__device__ void add_wide_rows(const KeyBlock<Stored>& block, int64_t h, const double* means,
                              BackwardKeysMemory<M>& memory, KeySums<Stored>& sums) {
  constexpr int kFlags = kWarp / kBlockWarps;  // per tile
  if (block.support.wide_heads[block.b * block.problem.heads + h] == 0) return;
  const int64_t blocks = blocks_per_head(block.problem);
  const int32_t* const flags = block.support.wide_blocks + (block.b * block.problem.heads + h) * blocks;
  const QueryRange queries = seeing_queries(block);
  for (int64_t first = queries.begin / kWarp * kFlags; first * kBlockWarps < queries.end; first += kWarp) {
    const int64_t at = first + lane_index();
    const unsigned wide = __ballot_sync(kAllLanes, at < blocks && flags[at] != 0);
    for (int tile = 0; tile < kWarp / kFlags; ++tile) {
      if ((wide >> (tile * kFlags) & ((1U << kFlags) - 1)) == 0) continue;
      add_query_tile<Rule>(block, h, first * kBlockWarps + tile * kWarp, means, memory, sums);
    }
  }
}

constexpr int kBackwardBlocks = 2;  // per multiprocessor: left alone, ptxas aims at more and spills registers

template <class Rule, class Stored>
__global__ void __launch_bounds__(kBlockThreads, kBackwardBlocks)
    attention_backward_keys(AttentionProblem problem, AttentionOperands operands,
                            AttentionSupportRows support, TransposedSupport transposed, const double* means,
                            AttentionKeyGradients gradients) {
  using M = Math<Stored>;
  auto& memory = *reinterpret_cast<BackwardKeysMemory<M>*>(dynamic_shared_memory());
  const int64_t blocks = (problem.keys + kBlockWarps - 1) / kBlockWarps;
  const int64_t b = blockIdx.x / blocks / problem.key_heads;
  const int64_t key_head = blockIdx.x / blocks % problem.key_heads;
  const KeyBlock<Stored> block{
      problem,
      operands,
      support,
      gradients,
      head_rows<Stored>(operands.key, problem.key, b, key_head, problem.keys, problem.width),
      head_rows<Stored>(operands.value, problem.value, b, key_head, problem.keys, problem.value_width),
      b,
      key_head,
      blockIdx.x % blocks * kBlockWarps};
  const int64_t key_width = gradients.key_grad != nullptr ? problem.width : 0;
  const int64_t value_width = gradients.value_grad != nullptr ? problem.value_width : 0;
  for (int64_t first = 0; first < larger(key_width, value_width); first += kPassColumns) {
    KeySums<Stored> sums{{first, key_width}, {first, value_width}};
    if constexpr (!std::is_void_v<Rule>) {
      if (block.exists()) add_entries(block, transposed, sums);
    }
    for (int64_t h = key_head * block.group(); h < (key_head + 1) * block.group(); ++h)
      add_wide_rows<Rule>(block, h, means, memory, sums);
    if (!block.exists()) continue;
    if (first < key_width) {
      sums.key.store(row_of<Stored>(gradients.key_grad, gradients.key_layout, b, key_head, block.own_key()),
                     static_cast<M>(problem.scale));
    }
    if (first < value_width) {
      sums.value.store(
          row_of<Stored>(gradients.value_grad, gradients.value_layout, b, key_head, block.own_key()));
    }
  }
}

}  // namespace giantrabbit::ops::cuda
