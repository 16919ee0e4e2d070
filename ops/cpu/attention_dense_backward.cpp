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
    keys_ = right_factor(keys, packed_keys_);
    finite_keys_ = all_finite(keys_, problem_.keys, problem_.width);
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
    add_transposed(weights_.weights, part.count(), right_factor(grad_rows, packed_output_grad_),
                   problem_.value_width, value_sums_.matrix());
  }
  if (!targets_.needs_scores()) return;
  compute_score_grad(part, left_factor(grad_rows, packed_output_grad_));
  if (targets_.scores.data) write_scores_grad(part);
  scale_score_grad(part);
  if (targets_.query.data) write_query_grad(part);
  if (targets_.key.data) {
    const auto query_rows = rows_view(problem_.query, part.batch, part.head, part.queries, problem_.width);
    add_transposed(score_grad_, part.count(), right_factor(query_rows, packed_queries_), problem_.width,
                   key_sums_.matrix());
  }
}

// Gradient of the scores from the gradient of the result: that of the weights first, then row by row.
template <class T>
void DenseBackward<T>::compute_score_grad(const QueryBlock& part, const StridedMatrix<A>& output_grad) {
  const Range columns = weights_.columns;
  matrix_product({part.count(), columns.end - columns.begin, problem_.value_width}, output_grad,
                 {values_transposed_.row(0) + columns.begin, values_transposed_.stride()},
                 {score_grad_.row(0) + columns.begin, score_grad_.stride()}, false);
  for (int64_t i = 0; i < part.count(); ++i) {
    const Range range = weights_.visible[static_cast<size_t>(i)];
    A* row = score_grad_.row(i);
    weights_.clear_hidden(row, i);
    if (range.empty()) continue;
    normalize_row_backward(problem_.normalizer, weights_.weights.row(i) + range.begin, row + range.begin,
                           range.end - range.begin);
  }
}

// From here on the gradient of the unscaled products of queries and keys.
template <class T>
void DenseBackward<T>::scale_score_grad(const QueryBlock& part) {
  const Range columns = weights_.columns;
  for (int64_t i = 0; i < part.count(); ++i) {
    A* row = score_grad_.row(i);
    for (int64_t j = columns.begin; j < columns.end; ++j) row[j] *= problem_.scale;
  }
}

template <class T>
void DenseBackward<T>::write_query_grad(const QueryBlock& part) {
  const Range keys = weights_.keys();
  const ResultRows<T> result(targets_.query, part.batch, part.head, part.queries.begin, problem_.width,
                             packed_query_grad_);
  weighted_product<A>({part.count(), problem_.width, keys.end - keys.begin},
                      {score_grad_.row(0) + keys.begin, score_grad_.stride(), 1},
                      {keys_.data + keys.begin * keys_.row, keys_.row}, finite_keys_, result.matrix(), false);
  result.store(part.count());
}

template <class T>
void DenseBackward<T>::write_scores_grad(const QueryBlock& part) {
  const Range columns = weights_.columns;
  for (int64_t i = 0; i < part.count(); ++i) {
    A* out = targets_.scores.at(part.batch, part.head, part.queries.begin + i);
    const A* row = score_grad_.row(i);
    for (int64_t j = 0; j < problem_.keys; ++j) {
      out[j] = j >= columns.begin && j < columns.end ? row[j] : A(0);
    }
  }
}

template <class T>
void DenseBackward<T>::add_transposed(const ScratchMatrix<A>& left, int64_t queries,
                                      const RowMatrix<const A>& rows, int64_t columns,
                                      const RowMatrix<A>& sums) {
  const Range keys = weights_.keys();
  const bool finite = all_finite(rows, queries, columns);
  weighted_product<A>({keys.end - keys.begin, columns, queries}, {left.row(0) + keys.begin, 1, left.stride()},
                      rows, finite, {sums.data + keys.begin * sums.row, sums.row}, true);
}

template class DenseBackward<float>;
template class DenseBackward<double>;
template class DenseBackward<c10::BFloat16>;
template class DenseBackward<c10::Half>;

}  // namespace giantrabbit::ops::cpu
