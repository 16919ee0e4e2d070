// Gradients of sparse_mask_attention on the CPU. In, the result's gradient and the checked call; out, the
// gradients asked for. The weights are recomputed block by block, so only one block of queries x keys lives
// at a time. One thread owns a key/value head and adds its query heads and blocks in order: same bits for any
// number of threads.
#include <ATen/Parallel.h>

#include "ops/cpu/attention_block.h"
#include "ops/cpu/attention_kernels.h"

namespace giantrabbit::ops::cpu {
namespace {

template <class T>
struct Targets {
  HeadsView<T> query;
  HeadsView<T> key;
  HeadsView<T> value;
  HeadsView<Accumulate<T>> scores;

  bool needs_scores() const { return query.data || key.data || scores.data; }
};

template <class T>
struct BackwardScratch {
  using A = Accumulate<T>;
  explicit BackwardScratch(const AttentionProblem<T>& problem)
      : keys_transposed(problem.width, problem.keys),
        values_transposed(problem.value_width, problem.keys),
        packed_keys(problem.keys, problem.width),
        packed_queries(problem.block_queries(), problem.width),
        packed_output_grad(problem.block_queries(), problem.value_width),
        key_grad(problem.keys, problem.width),
        value_grad(problem.keys, problem.value_width),
        query_grad(problem.block_queries(), problem.width),
        score_grad(problem.block_queries(), problem.keys),
        block(problem) {}

  ScratchMatrix<A> keys_transposed;  // times the scale
  ScratchMatrix<A> values_transposed;
  ScratchMatrix<A> packed_keys;
  ScratchMatrix<A> packed_queries;
  ScratchMatrix<A> packed_output_grad;
  ScratchMatrix<A> key_grad;
  ScratchMatrix<A> value_grad;
  ScratchMatrix<A> query_grad;
  ScratchMatrix<A> score_grad;
  WeightBlock<T> block;
  RowMatrix<const A> keys{};
  bool finite_keys = true;
};

// result[keys] += left^T . rows, where left is [queries, keys] and rows [queries, columns].
template <class A>
void add_transposed(const ScratchMatrix<A>& left, Range keys, int64_t queries, const RowMatrix<const A>& rows,
                    int64_t columns, const RowMatrix<A>& result) {
  const bool finite = all_finite(rows, queries, columns);
  weighted_product<A>({keys.end - keys.begin, columns, queries}, {left.row(0) + keys.begin, 1, left.stride()},
                      rows, finite, {result.data + keys.begin * result.row, result.row}, true);
}

// Gradient of the scores from the gradient of the result: that of the weights first, then row by row.
template <class T>
void compute_score_grad(const AttentionProblem<T>& problem, const QueryBlock& block,
                        const StridedMatrix<Accumulate<T>>& output_grad, BackwardScratch<T>& scratch) {
  const WeightBlock<T>& weights = scratch.block;
  const Range columns = weights.columns;
  matrix_product({block.count(), columns.end - columns.begin, problem.value_width}, output_grad,
                 {scratch.values_transposed.row(0) + columns.begin, scratch.values_transposed.stride()},
                 {scratch.score_grad.row(0) + columns.begin, scratch.score_grad.stride()}, false);
  for (int64_t i = 0; i < block.count(); ++i) {
    const Range range = weights.visible[static_cast<size_t>(i)];
    auto* row = scratch.score_grad.row(i);
    weights.clear_hidden(row, i);
    if (range.empty()) continue;
    normalize_row_backward(problem.normalizer, weights.weights.row(i) + range.begin, row + range.begin,
                           range.end - range.begin);
  }
}

// From here on the gradient of the unscaled products of queries and keys.
template <class T>
void scale_score_grad(const AttentionProblem<T>& problem, const QueryBlock& block,
                      BackwardScratch<T>& scratch) {
  const Range columns = scratch.block.columns;
  for (int64_t i = 0; i < block.count(); ++i) {
    auto* row = scratch.score_grad.row(i);
    for (int64_t j = columns.begin; j < columns.end; ++j) row[j] *= problem.scale;
  }
}

template <class T>
void write_query_grad(const AttentionProblem<T>& problem, const QueryBlock& block,
                      BackwardScratch<T>& scratch, const HeadsView<T>& target) {
  const Range keys = scratch.block.keys();
  const auto result =
      result_rows(target, block.batch, block.head, block.queries.begin, problem.width, scratch.query_grad);
  weighted_product<Accumulate<T>>({block.count(), problem.width, keys.end - keys.begin},
                                  {scratch.score_grad.row(0) + keys.begin, scratch.score_grad.stride(), 1},
                                  {scratch.keys.data + keys.begin * scratch.keys.row, scratch.keys.row},
                                  scratch.finite_keys, result.matrix(), false);
  result.store(block.count());
}

template <class T>
void write_scores_grad(const QueryBlock& block, BackwardScratch<T>& scratch, int64_t keys,
                       const HeadsView<Accumulate<T>>& target) {
  for (int64_t i = 0; i < block.count(); ++i) {
    auto* out = target.at(block.batch, block.head, block.queries.begin + i);
    const auto* row = scratch.score_grad.row(i);
    const Range columns = scratch.block.columns;
    for (int64_t j = 0; j < keys; ++j) {
      out[j] = j >= columns.begin && j < columns.end ? row[j] : Accumulate<T>(0);
    }
  }
}

// Where the gradients of one key/value head are summed.
template <class T>
struct HeadSums {
  ResultRows<T> key;
  ResultRows<T> value;
};

template <class T>
void add_block(const AttentionProblem<T>& problem, const QueryBlock& block, const HeadsView<const T>& grad,
               BackwardScratch<T>& scratch, const Targets<T>& targets, const HeadSums<T>& sums) {
  scratch.block.compute(block, scratch.keys_transposed);
  const Range keys = scratch.block.keys();
  const auto grad_rows = rows_view(grad, block.batch, block.head, block.queries, problem.value_width);
  if (targets.value.data) {
    add_transposed(scratch.block.weights, keys, block.count(),
                   right_factor(grad_rows, scratch.packed_output_grad), problem.value_width,
                   sums.value.matrix());
  }
  if (!targets.needs_scores()) return;
  compute_score_grad(problem, block, left_factor(grad_rows, scratch.packed_output_grad), scratch);
  if (targets.scores.data) write_scores_grad(block, scratch, problem.keys, targets.scores);
  scale_score_grad(problem, block, scratch);
  if (targets.query.data) write_query_grad(problem, block, scratch, targets.query);
  if (targets.key.data) {
    const auto query_rows = rows_view(problem.query, block.batch, block.head, block.queries, problem.width);
    add_transposed(scratch.score_grad, keys, block.count(), right_factor(query_rows, scratch.packed_queries),
                   problem.width, sums.key.matrix());
  }
}

template <class T>
void backward_head(const AttentionProblem<T>& problem, int64_t batch, int64_t key_head,
                   const HeadsView<const T>& grad, BackwardScratch<T>& scratch, const Targets<T>& targets) {
  using A = Accumulate<T>;
  const Range all{0, problem.keys};
  const auto keys = rows_view(problem.key, batch, key_head, all, problem.width);
  pack_transposed(keys, problem.scale, scratch.keys_transposed);
  pack_transposed(rows_view(problem.value, batch, key_head, all, problem.value_width), A(1),
                  scratch.values_transposed);
  if (targets.query.data) {
    scratch.keys = right_factor(keys, scratch.packed_keys);
    scratch.finite_keys = all_finite(scratch.keys, problem.keys, problem.width);
  }
  const HeadSums<T> sums{
      result_rows(targets.key, batch, key_head, 0, problem.width, scratch.key_grad),
      result_rows(targets.value, batch, key_head, 0, problem.value_width, scratch.value_grad)};
  if (targets.key.data) sums.key.clear(problem.keys);
  if (targets.value.data) sums.value.clear(problem.keys);
  for (int64_t i = 0; i < problem.group() * problem.blocks(); ++i) {
    const int64_t head = key_head * problem.group() + i / problem.blocks();
    add_block(problem, query_block(problem, batch, head, i % problem.blocks()), grad, scratch, targets, sums);
  }
  if (targets.key.data) sums.key.store(problem.keys);
  if (targets.value.data) sums.value.store(problem.keys);
}

}  // namespace

template <class T>
void attention_backward(const at::Tensor& grad, const AttentionCall& call, AttentionGradients& gradients) {
  const AttentionProblem<T> problem = make_problem<T>(call);
  const auto target = [](const at::Tensor& tensor) {
    return tensor.defined() && tensor.numel() > 0 ? heads_view<T>(tensor) : HeadsView<T>{};
  };
  Targets<T> targets{
      target(std::get<0>(gradients)), target(std::get<1>(gradients)), target(std::get<2>(gradients)), {}};
  const at::Tensor& scores = std::get<3>(gradients);
  if (scores.defined() && scores.numel() > 0) targets.scores = heads_view<Accumulate<T>>(scores);
  const HeadsView<const T> output_grad = heads_view<const T>(grad);
  at::parallel_for(0, problem.batch * problem.key_heads, 1, [&](int64_t begin, int64_t end) {
    BackwardScratch<T> scratch(problem);
    for (int64_t unit = begin; unit < end; ++unit) {
      backward_head(problem, unit / problem.key_heads, unit % problem.key_heads, output_grad, scratch,
                    targets);
    }
  });
}

template void attention_backward<float>(const at::Tensor&, const AttentionCall&, AttentionGradients&);
template void attention_backward<double>(const at::Tensor&, const AttentionCall&, AttentionGradients&);
template void attention_backward<c10::BFloat16>(const at::Tensor&, const AttentionCall&, AttentionGradients&);
template void attention_backward<c10::Half>(const at::Tensor&, const AttentionCall&, AttentionGradients&);

}  // namespace giantrabbit::ops::cpu
