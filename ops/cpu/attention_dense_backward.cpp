// Backward of the dense path. In and out: attention_dense.h. The weights are recomputed block by block, so
// only one block of queries x keys lives at a time.
#include "ops/cpu/attention_dense.h"

namespace giantrabbit::ops::cpu {

template <class T>
DenseBackward<T>::DenseBackward(const AttentionProblem<T>& problem, const HeadsView<const T>& output_grad,
                                const Targets<T>& targets)
    : problem_(problem),
      output_grad_(output_grad),
      targets_(targets),
      keys_transposed_(problem.width, problem.keys),
      values_transposed_(problem.value_width, problem.keys),
      packed_keys_(problem.keys, problem.width),
      packed_queries_(problem.block_queries(), problem.width),
      packed_output_grad_(problem.block_queries(), problem.value_width),
      packed_key_grad_(problem.keys, problem.width),
      packed_value_grad_(problem.keys, problem.value_width),
      packed_query_grad_(problem.block_queries(), problem.width),
      score_grad_(problem.block_queries(), problem.keys),
      weights_(problem) {}

template <class T>
void DenseBackward<T>::begin_head(int64_t batch, int64_t key_head, bool keep_sums) {
  const Range all{0, problem_.keys};
  const auto keys = rows_view(problem_.key, batch, key_head, all, problem_.width);
  pack_transposed(keys, problem_.scale, keys_transposed_);
  pack_transposed(rows_view(problem_.value, batch, key_head, all, problem_.value_width), A(1),
                  values_transposed_);
  if (targets_.query.data) {
    pack_rows(keys, problem_.scale, packed_keys_);
    finite_keys_ = all_finite(packed_keys_.right(), problem_.keys, problem_.width);
  }
  const auto begin_sums = [&](const HeadsView<T>& target, int64_t columns, ScratchMatrix<A>& packed,
                              ResultRows<T>& sums) {
    if (!target.data) return;
    sums = ResultRows<T>(target, batch, key_head, 0, columns, packed);
    keep_sums ? sums.load(problem_.keys) : sums.clear(problem_.keys);
  };
  begin_sums(targets_.key, problem_.width, packed_key_grad_, key_sums_);
  begin_sums(targets_.value, problem_.value_width, packed_value_grad_, value_sums_);
}

template <class T>
void DenseBackward<T>::add(const QueryBlock& block) {
  for_each_part(block, problem_.block_queries(), [&](const QueryBlock& part) { add_part(part); });
}

template <class T>
void DenseBackward<T>::end_head() {
  if (targets_.key.data) key_sums_.store(problem_.keys);
  if (targets_.value.data) value_sums_.store(problem_.keys);
}

template <class T>
void DenseBackward<T>::add_part(const QueryBlock& part) {
  weights_.compute(part, keys_transposed_, {});
  const auto grad_rows = rows_view(output_grad_, part.batch, part.head, part.queries, problem_.value_width);
  if (targets_.value.data) {
    const RowMatrix<const A> rows = right_factor(grad_rows, packed_output_grad_);
    weights_.add_transposed(weights_.weights, rows, all_finite(rows, part.count(), problem_.value_width),
                            problem_.value_width, value_sums_.matrix());
  }
  if (!targets_.needs_scores()) return;
  compute_score_grad(left_factor(grad_rows, packed_output_grad_));
  if (targets_.scores.data) write_scores_grad(part);
  if (targets_.query.data) write_query_grad(part);
  if (targets_.key.data) {
    const auto query_rows = rows_view(problem_.query, part.batch, part.head, part.queries, problem_.width);
    pack_rows(query_rows, problem_.scale, packed_queries_);
    const RowMatrix<const A> rows = packed_queries_.right();
    weights_.add_transposed(score_grad_, rows, all_finite(rows, part.count(), problem_.width), problem_.width,
                            key_sums_.matrix());
  }
}

// Gradient of the scores from the gradient of the result: that of the weights first, then row by row.
template <class T>
void DenseBackward<T>::compute_score_grad(const StridedMatrix<A>& output_grad) {
  score_grad_.set_columns(weights_.columns.count());
  for (const Strip& strip : weights_.columns.strips()) {
    weights_.multiply_strip(strip, output_grad, problem_.value_width, values_transposed_, score_grad_);
    for (int64_t i = strip.rows.begin; i < strip.rows.end; ++i) {
      const Range range = weights_.visible[static_cast<size_t>(i)];
      A* row = score_grad_.row(i);
      weights_.clear_hidden(strip, row, i);
      if (range.empty()) continue;
      normalize_row_backward(problem_.normalizer, weights_.weights.row(i) + range.begin, row + range.begin,
                             range.end - range.begin);
    }
  }
}

template <class T>
void DenseBackward<T>::write_query_grad(const QueryBlock& part) {
  const ResultRows<T> result(targets_.query, part.batch, part.head, part.queries.begin, problem_.width,
                             packed_query_grad_);
  for (const Strip& strip : weights_.columns.strips()) {
    weights_.combine_strip(strip, score_grad_, packed_keys_.right(), finite_keys_, problem_.width,
                           result.matrix());
  }
  result.store(part.count());
}

template <class T>
void DenseBackward<T>::write_scores_grad(const QueryBlock& part) {
  for (const Strip& strip : weights_.columns.strips()) {
    for (int64_t i = strip.rows.begin; i < strip.rows.end; ++i) {
      A* out = targets_.scores.at(part.batch, part.head, part.queries.begin + i);
      std::fill_n(out, problem_.keys, A(0));
      weights_.columns.for_each_run(
          weights_.visible[static_cast<size_t>(i)], [&](int64_t key, Range columns) {
            std::copy(score_grad_.row(i) + columns.begin, score_grad_.row(i) + columns.end, out + key);
          });
    }
  }
}

template class DenseBackward<float>;
template class DenseBackward<double>;
template class DenseBackward<c10::BFloat16>;
template class DenseBackward<c10::Half>;

}  // namespace giantrabbit::ops::cpu
