// The dense path of sparse_mask_attention by blocks of queries: every visible score in the accumulation type.
// In, an AttentionProblem and ranges of queries of one key/value head at a time; out, rows of the result, or
// rows of the query gradient and sums of the key and value gradients. A caller runs the blocks it chooses, in
// the order it chooses: the result of a query depends on no other query, and a sum over queries is one chain
// of multiply-adds in the order in which their blocks were added. Blocks of sparsemax and entmax-1.5 with few
// weights that are not 0 take the products over those alone; how a caller cuts its ranges can move a row from
// one kind of block to the other, which shows in the last bits of gradients only. One object per thread: its
// scratch is reused over blocks and heads.
#pragma once

#include <functional>
#include <optional>

#include "ops/cpu/attention_sparse_block.h"

namespace giantrabbit::ops::cpu {

template <class T>
class DenseForward {
 public:
  using A = Accumulate<T>;
  // Sees a part of a block, at most problem.block_queries() queries, once its weights are there. `sparse`
  // holds those that are not 0 if they are few, else it is null.
  using SeeWeights = std::function<void(const QueryBlock& part, const WeightBlock<T>& weights,
                                        const SparseBlock<T>* sparse)>;

  // `problem` needs to live longer. `output` is [batch, heads, queries, value width].
  DenseForward(const AttentionProblem<T>& problem, const HeadsView<T>& output);

  // Once before the blocks of the heads that share a key/value head.
  void prepare_head(int64_t batch, int64_t key_head);
  // Writes the block's rows of the output. Any number of queries of a prepared head.
  void run(const QueryBlock& block);
  // The same, showing what lies between: `scores` sees each row before it becomes weights, if it is set.
  void run(const QueryBlock& block, const SeeScores<A>& scores, const SeeWeights& weights);

 private:
  void write_output(const QueryBlock& part, bool sparse);
  void combine_values(const RowMatrix<A>& result);

  const AttentionProblem<T>& problem_;
  HeadsView<T> output_;
  ScratchMatrix<A> keys_;  // transposed, times the scale
  ScratchMatrix<A> packed_values_;
  ScratchMatrix<A> packed_output_;
  WeightBlock<T> weights_;
  SparseBlock<T> sparse_;
  RowMatrix<const A> values_{};
  std::optional<bool> finite_values_;
};

// Where gradients go; those without data are not asked for.
template <class T>
struct Targets {
  HeadsView<T> query;
  HeadsView<T> key;
  HeadsView<T> value;
  HeadsView<Accumulate<T>> scores;

  bool needs_scores() const { return query.data || key.data || scores.data; }
};

template <class T>
class DenseBackward {
 public:
  using A = Accumulate<T>;

  // `problem` needs to live longer. `output_grad` is [batch, heads, queries, value width].
  DenseBackward(const AttentionProblem<T>& problem, const HeadsView<const T>& output_grad,
                const Targets<T>& targets);

  // Starts the sums of the key and value gradients of a key/value head: at zero, or, with `keep_sums`, at
  // what the targets hold.
  void begin_head(int64_t batch, int64_t key_head, bool keep_sums);
  // Writes the block's rows of the gradients of queries and scores and adds to the sums. Any number of
  // queries of a head that shares the begun key/value head.
  void add(const QueryBlock& block);
  // The same with the block's weights, as WeightBlock::save() left them part by part; null: they are
  // computed.
  void add(const QueryBlock& block, RowMatrix<const A> weights);
  // Writes the sums to the targets.
  void end_head();

 private:
  void add_part(const QueryBlock& part, RowMatrix<const A> weights);
  void add_dense(const QueryBlock& part, const RowMatrix<const A>& output_grad);
  void add_sparse(const QueryBlock& part, const RowMatrix<const A>& output_grad);
  void transpose_keys();
  void transpose_values();
  void compute_score_grad(const RowMatrix<const A>& output_grad);
  void write_query_grad(const QueryBlock& part);
  void write_scores_grad(const QueryBlock& part);

  const AttentionProblem<T>& problem_;
  HeadsView<const T> output_grad_;
  Targets<T> targets_;
  ScratchMatrix<A> keys_transposed_;  // times the scale
  ScratchMatrix<A> values_transposed_;
  ScratchMatrix<A> packed_values_;
  ScratchMatrix<A> packed_keys_;     // times the scale
  ScratchMatrix<A> packed_queries_;  // times the scale
  ScratchMatrix<A> packed_output_grad_;
  ScratchMatrix<A> packed_key_grad_;
  ScratchMatrix<A> packed_value_grad_;
  ScratchMatrix<A> packed_query_grad_;
  ScratchMatrix<A> score_grad_;
  WeightBlock<T> weights_;
  SparseBlock<T> sparse_;
  ScratchMatrix<A> sparse_grad_;  // one row
  RowMatrix<const A> values_{};
  RowsView<T> key_rows_{};
  RowsView<T> value_rows_{};
  bool keys_are_transposed_ = false;
  bool values_are_transposed_ = false;
  std::optional<bool> finite_keys_;
  ResultRows<T> key_sums_;
  ResultRows<T> value_sums_;
};

}  // namespace giantrabbit::ops::cpu
