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
      packed_values_(problem.keys, problem.value_width),
      packed_keys_(problem.keys, problem.width),
      packed_queries_(problem.block_queries(), problem.width),
      packed_output_grad_(problem.block_queries(), problem.value_width),
      packed_key_grad_(problem.keys, problem.width),
      packed_value_grad_(problem.keys, problem.value_width),
      packed_query_grad_(problem.block_queries(), problem.width),
      score_grad_(problem.block_queries(), problem.keys),
      weights_(problem),
      sparse_(problem),
      sparse_grad_(1, problem.keys) {}

template <class T>
void DenseBackward<T>::begin_head(int64_t batch, int64_t key_head, bool keep_sums) {
  const Range all{0, problem_.keys};
  const auto keys = rows_view(problem_.key, batch, key_head, all, problem_.width);
  key_rows_ = keys;
  keys_are_transposed_ = false;
  value_rows_ = rows_view(problem_.value, batch, key_head, all, problem_.value_width);
  values_are_transposed_ = false;
  if (problem_.normalizer != Normalizer::softmax) {
    values_ = right_factor(value_rows_, packed_values_,
                           key_rows_may_stay(problem_, value_rows_.row, problem_.value_width));
  }
  finite_keys_.reset();
  if (targets_.query.data) pack_rows(keys, problem_.scale, packed_keys_);
  const auto begin_sums = [&](const HeadsView<T>& target, int64_t columns, ScratchMatrix<A>& packed,
                              ResultRows<T>& sums) {
    if (!target.data) return;
    sums = ResultRows<T>(target, batch, key_head, 0, columns, packed,
                         key_rows_may_stay(problem_, target.row, columns));
    keep_sums ? sums.load(problem_.keys) : sums.clear(problem_.keys);
  };
  begin_sums(targets_.key, problem_.width, packed_key_grad_, key_sums_);
  begin_sums(targets_.value, problem_.value_width, packed_value_grad_, value_sums_);
}

template <class T>
void DenseBackward<T>::add(const QueryBlock& block) {
  add(block, {});
}

template <class T>
void DenseBackward<T>::add(const QueryBlock& block, RowMatrix<const A> weights) {
  for_each_part(block, problem_.block_queries(), [&](const QueryBlock& part) {
    RowMatrix<const A> rows = weights;
    if (rows.data != nullptr) rows.data += (part.queries.begin - block.queries.begin) * rows.row;
    add_part(part, rows);
  });
}

template <class T>
void DenseBackward<T>::end_head() {
  if (targets_.key.data) key_sums_.store(problem_.keys);
  if (targets_.value.data) value_sums_.store(problem_.keys);
}

template <class T>
void DenseBackward<T>::add_part(const QueryBlock& part, RowMatrix<const A> weights) {
  if (weights.data != nullptr) {
    weights_.load(part, weights);
  } else {
    transpose_keys();
    weights_.compute(part, keys_transposed_, {});
  }
  const RowMatrix<const A> grad_rows =
      right_factor(rows_view(output_grad_, part.batch, part.head, part.queries, problem_.value_width),
                   packed_output_grad_);
  if (targets_.key.data) {
    pack_rows(rows_view(problem_.query, part.batch, part.head, part.queries, problem_.width), problem_.scale,
              packed_queries_);
  }
  if (problem_.normalizer != Normalizer::softmax && sparse_.compress(weights_)) {
    add_sparse(part, grad_rows);
  } else {
    add_dense(part, grad_rows);
  }
}

template <class T>
void DenseBackward<T>::add_dense(const QueryBlock& part, const RowMatrix<const A>& output_grad) {
  if (targets_.value.data) {
    weights_.add_transposed(weights_.weights, output_grad,
                            all_finite(output_grad, part.count(), problem_.value_width), problem_.value_width,
                            value_sums_.matrix());
  }
  if (!targets_.needs_scores()) return;
  compute_score_grad(output_grad);
  if (targets_.scores.data) write_scores_grad(part);
  if (targets_.query.data) write_query_grad(part);
  if (targets_.key.data) {
    const RowMatrix<const A> rows = packed_queries_.right();
    weights_.add_transposed(score_grad_, rows, all_finite(rows, part.count(), problem_.width), problem_.width,
                            key_sums_.matrix());
  }
}

// Row by row, over the keys whose weight is not 0.
template <class T>
void DenseBackward<T>::add_sparse(const QueryBlock& part, const RowMatrix<const A>& output_grad) {
  const ResultRows<T> query_rows(targets_.query, part.batch, part.head, part.queries.begin, problem_.width,
                                 packed_query_grad_);
  A* score_grad = sparse_grad_.row(0);
  for (int64_t i = 0; i < part.count(); ++i) {
    const SparseRow<A> weights = sparse_.row(i);
    const A* grad = output_grad.data + i * output_grad.row;
    if (targets_.value.data) scatter<A>(weights, grad, problem_.value_width, value_sums_.matrix());
    if (!targets_.needs_scores()) continue;
    dots<A>(weights, grad, values_, problem_.value_width, score_grad);
    const int64_t padded = padded_columns(weights.count);
    std::fill(score_grad + weights.count, score_grad + padded, A(0));
    if (padded > 0) normalize_row_backward(problem_.normalizer, weights.values, score_grad, padded);
    if (targets_.scores.data) {
      A* out = targets_.scores.at(part.batch, part.head, part.queries.begin + i);
      std::fill_n(out, problem_.keys, A(0));
      for (int64_t e = 0; e < weights.count; ++e) out[weights.indices[e]] = score_grad[e];
    }
    const SparseRow<A> grads{weights.count, weights.indices, score_grad};
    if (targets_.query.data) {
      const RowMatrix<A> rows = query_rows.matrix();
      combine<A>(grads, packed_keys_.right(), problem_.width, rows.data + i * rows.row);
    }
    if (targets_.key.data) scatter<A>(grads, packed_queries_.row(i), problem_.width, key_sums_.matrix());
  }
  if (targets_.query.data) query_rows.store(part.count());
}

// Only blocks whose weights nobody kept need the keys as columns,
template <class T>
void DenseBackward<T>::transpose_keys() {
  if (!keys_are_transposed_) pack_transposed(key_rows_, problem_.scale, keys_transposed_);
  keys_are_transposed_ = true;
}

// and only blocks with many weights the values.
template <class T>
void DenseBackward<T>::transpose_values() {
  if (!values_are_transposed_) pack_transposed(value_rows_, A(1), values_transposed_);
  values_are_transposed_ = true;
}

// Gradient of the scores from the gradient of the result: that of the weights first, then row by row.
template <class T>
void DenseBackward<T>::compute_score_grad(const RowMatrix<const A>& output_grad) {
  transpose_values();
  score_grad_.set_columns(weights_.columns.count());
  for (const Strip& strip : weights_.columns.strips()) {
    weights_.multiply_strip(strip, {output_grad.data, output_grad.row, 1}, problem_.value_width,
                            values_transposed_, score_grad_);
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
  if (!finite_keys_) finite_keys_ = all_finite(packed_keys_.right(), problem_.keys, problem_.width);
  for (const Strip& strip : weights_.columns.strips()) {
    weights_.combine_strip(strip, score_grad_, packed_keys_.right(), *finite_keys_, problem_.width,
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
      const Range range = weights_.visible[static_cast<size_t>(i)];
      weights_.columns.for_each_run(range, [&](int64_t key, Range columns) {
        const A* row = score_grad_.row(i) + columns.begin;
        std::copy_n(row, std::min(columns.end - columns.begin, problem_.keys - key), out + key);
      });
    }
  }
}

template class DenseBackward<float>;
template class DenseBackward<double>;
template class DenseBackward<c10::BFloat16>;
template class DenseBackward<c10::Half>;

}  // namespace giantrabbit::ops::cpu
