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

// Key and value gradients are summed transposed, [width, keys]: then the long side is the fast one.
template <class T>
struct BackwardScratch {
  using A = Accumulate<T>;
  explicit BackwardScratch(const AttentionProblem<T>& problem)
      : keys(problem.keys, problem.width),
        keys_transposed(problem.width, problem.keys),
        values_transposed(problem.value_width, problem.keys),
        key_grad(problem.width, problem.keys),
        value_grad(problem.value_width, problem.keys),
        block(problem),
        output_grad(problem.block_queries(), problem.value_width),
        score_grad(problem.block_queries(), problem.keys),
        query_grad(problem.block_queries(), problem.width) {}

  ScratchMatrix<A> keys;
  ScratchMatrix<A> keys_transposed;
  ScratchMatrix<A> values_transposed;
  ScratchMatrix<A> key_grad;
  ScratchMatrix<A> value_grad;
  WeightBlock<T> block;
  ScratchMatrix<A> output_grad;
  ScratchMatrix<A> score_grad;
  ScratchMatrix<A> query_grad;
  bool finite_keys = true;
  bool finite_output_grad = true;
};

// result[:, columns] += left^T . right[:, columns] with the zeros of `right` keeping out what they multiply.
template <class A>
void add_transposed(const ProductSize& size, ScratchMatrix<A>& left, bool finite_left,
                    ScratchMatrix<A>& right, int64_t column, ScratchMatrix<A>& result) {
  if (finite_left) {
    matrix_product(size, left.transposed(), right.right(0, column), result.result(column), true);
  } else {
    const ProductSize turned{size.columns, size.rows, size.depth};
    const StridedMatrix<A> weights{right.row(0) + column, 1, right.stride()};
    add_product_without_zeros(turned, weights, left.left(), result.row(0) + column, 1, result.stride());
  }
}

// Gradient of the scores from the gradient of the result: that of the weights first, then row by row.
template <class T>
void compute_score_grad(const AttentionProblem<T>& problem, const QueryBlock& block,
                        BackwardScratch<T>& scratch) {
  const WeightBlock<T>& weights = scratch.block;
  const Range columns = weights.columns;
  matrix_product({block.count(), columns.end - columns.begin, problem.value_width},
                 scratch.output_grad.left(), scratch.values_transposed.right(0, columns.begin),
                 scratch.score_grad.result(columns.begin), false);
  for (int64_t i = 0; i < block.count(); ++i) {
    const Range range = weights.visible[static_cast<size_t>(i)];
    auto* row = scratch.score_grad.row(i);
    weights.clear_hidden(row, i);
    if (range.empty()) continue;
    normalize_row_backward(problem.normalizer, scratch.block.weights.row(i) + range.begin, row + range.begin,
                           range.end - range.begin);
  }
}

template <class T>
void write_query_grad(const AttentionProblem<T>& problem, const QueryBlock& block,
                      BackwardScratch<T>& scratch, const HeadsView<T>& target) {
  using A = Accumulate<T>;
  const Range columns = scratch.block.columns;
  const int64_t depth = std::max<int64_t>(0, std::min(columns.end, problem.keys) - columns.begin);
  const ProductSize size{block.count(), problem.width, depth};
  const auto score_grad = scratch.score_grad.left(columns.begin);
  if (scratch.finite_keys) {
    matrix_product(size, score_grad, scratch.keys.right(columns.begin), scratch.query_grad.result(), false);
  } else {
    scratch.query_grad.clear(block.count());
    const StridedMatrix<A> keys{scratch.keys.row(columns.begin), scratch.keys.stride(), 1};
    add_product_without_zeros(size, score_grad, keys, scratch.query_grad.row(0), scratch.query_grad.stride(),
                              1);
  }
  for (int64_t i = 0; i < block.count(); ++i) {
    T* out = target.at(block.batch, block.head, block.queries.begin + i);
    const A* sum = scratch.query_grad.row(i);
    for (int64_t j = 0; j < problem.width; ++j)
      out[j * target.column] = static_cast<T>(sum[j] * problem.scale);
  }
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

template <class T>
void add_block(const AttentionProblem<T>& problem, const QueryBlock& block, const HeadsView<const T>& grad,
               BackwardScratch<T>& scratch, const Targets<T>& targets) {
  using A = Accumulate<T>;
  scratch.block.compute(block, scratch.keys_transposed);
  scratch.finite_output_grad =
      pack_rows(rows_view(grad, block.batch, block.head, block.queries, problem.value_width), A(1),
                scratch.output_grad);
  const Range columns = scratch.block.columns;
  const int64_t width = columns.end - columns.begin;
  if (targets.value.data) {
    add_transposed({problem.value_width, width, block.count()}, scratch.output_grad,
                   scratch.finite_output_grad, scratch.block.weights, columns.begin, scratch.value_grad);
  }
  if (!targets.needs_scores()) return;
  compute_score_grad(problem, block, scratch);
  if (targets.query.data) write_query_grad(problem, block, scratch, targets.query);
  if (targets.scores.data) write_scores_grad(block, scratch, problem.keys, targets.scores);
  if (targets.key.data) {
    // The packed queries hold the scale already.
    add_transposed({problem.width, width, block.count()}, scratch.block.queries, scratch.block.finite_queries,
                   scratch.score_grad, columns.begin, scratch.key_grad);
  }
}

template <class T>
void write_transposed(ScratchMatrix<Accumulate<T>>& sum, int64_t batch, int64_t head, Range keys,
                      int64_t width, const HeadsView<T>& target) {
  for (int64_t key = keys.begin; key < keys.end; ++key) {
    T* out = target.at(batch, head, key);
    for (int64_t j = 0; j < width; ++j) out[j * target.column] = static_cast<T>(sum.row(j)[key]);
  }
}

template <class T>
void backward_head(const AttentionProblem<T>& problem, int64_t batch, int64_t key_head,
                   const HeadsView<const T>& grad, BackwardScratch<T>& scratch, const Targets<T>& targets) {
  using A = Accumulate<T>;
  const Range all{0, problem.keys};
  const auto keys = rows_view(problem.key, batch, key_head, all, problem.width);
  pack_transposed(keys, scratch.keys_transposed);
  pack_transposed(rows_view(problem.value, batch, key_head, all, problem.value_width),
                  scratch.values_transposed);
  if (targets.query.data) scratch.finite_keys = pack_rows(keys, A(1), scratch.keys);
  if (targets.key.data) scratch.key_grad.clear(problem.width);
  if (targets.value.data) scratch.value_grad.clear(problem.value_width);
  for (int64_t i = 0; i < problem.group() * problem.blocks(); ++i) {
    const int64_t head = key_head * problem.group() + i / problem.blocks();
    add_block(problem, query_block(problem, batch, head, i % problem.blocks()), grad, scratch, targets);
  }
  if (targets.key.data) write_transposed(scratch.key_grad, batch, key_head, all, problem.width, targets.key);
  if (targets.value.data) {
    write_transposed(scratch.value_grad, batch, key_head, all, problem.value_width, targets.value);
  }
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
