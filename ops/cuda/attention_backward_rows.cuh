// Gradients of attention by rows, one warp per query, eight queries per block. In: the operands, the result's
// gradient and the support. Out: the gradient of every score with a weight and of the queries. Rows with
// entries read the keys and values of these only. Wide rows have none: their block computes the weights again
// from their states, in one sweep over the keys for the mean of the weights' gradient and one for the rest.
#pragma once

#include "ops/cuda/attention_rows.cuh"

namespace giantrabbit::ops::cuda {

template <class M>
struct EntryGradients {
  M grads[kMostKeptKeys];
  int keys[kMostKeptKeys];
};

template <class M>
struct BackwardRowsMemory {
  EntryGradients<M> entries[kBlockWarps];
  TileMemory<M> tile;
};

// What a block of queries reads and writes.
template <class Stored>
struct BackwardBlock {
  using M = Math<Stored>;
  QueryBlock<Stored> scores;
  HeadRows<Stored> values;
  HeadRows<Stored> result_grads;
  const AttentionRowGradients& gradients;

  __device__ bool wants_query() const { return gradients.query_grad != nullptr; }
  __device__ Stored* query_grad() const {
    const HeadsLayout& layout = gradients.query_layout;
    return static_cast<Stored*>(gradients.query_grad) + scores.b * layout.batch + scores.h * layout.head +
           scores.own_query() * layout.row;
  }
  // Of the row's score with key 0; null if nobody needs it.
  __device__ M* bias_grad() const {
    return gradients.bias_grad == nullptr
               ? nullptr
               : static_cast<M*>(gradients.bias_grad) + scores.own_row() * scores.problem.keys;
  }
};

// Product of two rows, the same bits in every lane.
template <class Stored>
__device__ Math<Stored> row_product(const Stored* a, const Stored* b, int64_t width) {
  Math<Stored> sum = 0;
  for (int64_t column = lane_index(); column < width; column += kWarp)
    sum = multiply_add(widened(a[column]), widened(b[column]), sum);
  return WarpGroup().sum(sum);
}

// A row of `count` entries from entry `begin` on.
template <class Rule, class Stored, class M>
__device__ void list_row_gradients(const BackwardBlock<Stored>& block, const AttentionSupportRows& support,
                                   int64_t begin, int count, EntryGradients<M>& entries) {
  const M* const weights = static_cast<const M*>(support.weights) + begin;
  for (int e = lane_index(); e < count; e += kWarp) entries.keys[e] = support.keys[begin + e];
  __syncwarp();
  const Stored* const result_grad = block.result_grads.at(block.scores.own_query());
  for (int e = 0; e < count; ++e) {
    const M grad = row_product(result_grad, block.values.at(entries.keys[e]), block.values.width);
    if (lane_index() == e % kWarp) entries.grads[e] = grad;
  }
  GradientMean<Rule> sums;  // a lane reads what it wrote itself
  for (int e = lane_index(); e < count; e += kWarp) sums.add(weights[e], entries.grads[e]);
  const double mean = sums.mean();
  for (int e = lane_index(); e < count; e += kWarp) {
    const M grad = score_gradient<Rule>(weights[e], entries.grads[e], mean);
    entries.grads[e] = grad;
    if (block.gradients.entry_grads != nullptr)
      static_cast<M*>(block.gradients.entry_grads)[begin + e] = grad;
    if (block.bias_grad() != nullptr) block.bias_grad()[entries.keys[e]] = grad;
  }
  __syncwarp();
  if (!block.wants_query()) return;
  const HeadRows<Stored>& keys = block.scores.keys;
  for (int64_t first = 0; first < keys.width; first += kPassColumns) {
    ColumnSums<Stored> columns{first, keys.width};
    for (int e = 0; e < count; ++e) columns.add(keys.at(entries.keys[e]), entries.grads[e]);
    columns.store(block.query_grad(), static_cast<M>(block.scores.problem.scale));
  }
}

// visit(key, score, gradient of the weight). The whole block comes here.
template <class Stored, class M, class Visit>
__device__ void sweep_weight_gradients(const BackwardBlock<Stored>& block, TileMemory<M>& memory, bool wide,
                                       Visit visit) {
  sweep_scores_and(
      block.scores, memory, wide,
      [&](int first_key) {
        return tile_product(block.result_grads, block.scores.first, block.values, first_key, memory);
      },
      visit);
}

template <class Rule, class Stored, class M>
__device__ void wide_row_gradients(const BackwardBlock<Stored>& block, const RowState<Rule, M>& state,
                                   bool wide, TileMemory<M>& memory) {
  GradientMean<Rule> sums;
  sweep_weight_gradients(block, memory, wide, [&](int, M score, M grad) {
    const M weight = state.weight(score);
    if (weight != M(0)) sums.add(weight, grad);
  });
  const double mean = sums.mean();
  if (wide && lane_index() == 0 && block.gradients.means != nullptr)
    block.gradients.means[block.scores.own_row()] = mean;
  if (!block.wants_query() && block.bias_grad() == nullptr) return;
  const HeadRows<Stored>& keys = block.scores.keys;
  const int64_t width = block.wants_query() ? keys.width : 0;
  int64_t first = 0;
  do {
    ColumnSums<Stored> columns{first, width};
    sweep_weight_gradients(block, memory, wide, [&](int j, M score, M grad) {
      const M weight = state.weight(score);
      const M own = weight != M(0) ? score_gradient<Rule>(weight, grad, mean) : M(0);
      if (first == 0 && weight != M(0) && block.bias_grad() != nullptr) block.bias_grad()[j] = own;
      for_each_nonzero(own,
                       [&](M of_lane, int lane) { columns.add(keys.at(j - lane_index() + lane), of_lane); });
    });
    if (wide && width > 0) columns.store(block.query_grad(), static_cast<M>(block.scores.problem.scale));
    first += kPassColumns;
  } while (first < width);
}

constexpr int kBackwardBlocks = 2;  // per multiprocessor: left alone, ptxas aims at more and spills registers

template <class Rule, class Stored>
__global__ void __launch_bounds__(kBlockThreads, kBackwardBlocks)
    attention_backward_rows(AttentionProblem problem, AttentionOperands operands,
                            AttentionSupportRows support, AttentionRowGradients gradients) {
  using M = Math<Stored>;
  auto& memory = *reinterpret_cast<BackwardRowsMemory<M>*>(dynamic_shared_memory());
  const QueryBlock<Stored> scores = own_query_block<Stored>(problem, operands.query, operands.key);
  const BackwardBlock<Stored> block{scores,
                                    head_rows<Stored>(operands.value, problem.value, scores.b,
                                                      scores.key_head(), problem.keys, problem.value_width),
                                    head_rows<Stored>(operands.result_grad, problem.result, scores.b,
                                                      scores.h, problem.queries, problem.value_width),
                                    gradients};
  const int64_t row = scores.own_row();
  RowState<Rule, M> state{-kInfinity<M>, 0.0};
  bool wide = false;
  if (scores.exists()) {
    state = RowState<Rule, M>::read(support.states, row);
    const int64_t begin = support.row_offsets[row];
    const int count = static_cast<int>(support.row_offsets[row + 1] - begin);
    wide = count == 0 && !state.empty();
    if constexpr (!std::is_void_v<Rule>) {
      if (count > 0) list_row_gradients<Rule>(block, support, begin, count, memory.entries[warp_index()]);
    }
    if (state.empty() && block.wants_query())
      for (int64_t c = lane_index(); c < problem.width; c += kWarp) put(block.query_grad() + c, M(0));
  }
  if (support.wide_blocks[blockIdx.x] != 0) wide_row_gradients(block, state, wide, memory.tile);
}

}  // namespace giantrabbit::ops::cuda
