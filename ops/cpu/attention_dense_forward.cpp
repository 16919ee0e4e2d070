// Forward of the dense path. In and out: attention_dense.h. A row of the result depends on its own query and
// its head's keys only.
#include "ops/cpu/attention_dense.h"

namespace giantrabbit::ops::cpu {

template <class T>
DenseForward<T>::DenseForward(const AttentionProblem<T>& problem, const HeadsView<T>& output)
    : problem_(problem),
      output_(output),
      keys_(problem.width, problem.keys),
      packed_values_(problem.keys, problem.value_width),
      packed_output_(problem.block_queries(), problem.value_width),
      weights_(problem),
      sparse_(problem) {}

template <class T>
void DenseForward<T>::prepare_head(int64_t batch, int64_t key_head) {
  const Range all{0, problem_.keys};
  pack_transposed(rows_view(problem_.key, batch, key_head, all, problem_.width), problem_.scale, keys_);
  values_ =
      right_factor(rows_view(problem_.value, batch, key_head, all, problem_.value_width), packed_values_,
                   key_rows_may_stay(problem_, problem_.value.row, problem_.value_width));
  finite_values_.reset();
}

template <class T>
void DenseForward<T>::run(const QueryBlock& block) {
  run(block, {}, {});
}

template <class T>
void DenseForward<T>::run(const QueryBlock& block, const SeeScores<A>& scores, const SeeWeights& weights) {
  for_each_part(block, problem_.block_queries(), [&](const QueryBlock& part) {
    weights_.compute(part, keys_, scores);
    const bool sparse = problem_.normalizer != Normalizer::softmax && sparse_.compress(weights_);
    if (weights) weights(part, weights_, sparse ? &sparse_ : nullptr);
    write_output(part, sparse);
  });
}

// Weights of the block times the values, in the result's dtype.
template <class T>
void DenseForward<T>::write_output(const QueryBlock& part, bool sparse) {
  const ResultRows<T> result(output_, part.batch, part.head, part.queries.begin, problem_.value_width,
                             packed_output_);
  if (sparse) {
    const RowMatrix<A> rows = result.matrix();
    for (int64_t i = 0; i < part.count(); ++i) {
      combine<A>(sparse_.row(i), values_, problem_.value_width, rows.data + i * rows.row);
    }
  } else {
    combine_values(result.matrix());
  }
  result.store(part.count());
}

template <class T>
void DenseForward<T>::combine_values(const RowMatrix<A>& result) {
  if (!finite_values_) finite_values_ = all_finite(values_, problem_.keys, problem_.value_width);
  for (const Strip& strip : weights_.columns.strips()) {
    weights_.combine_strip(strip, weights_.weights, values_, *finite_values_, problem_.value_width, result);
  }
}

template class DenseForward<float>;
template class DenseForward<double>;
template class DenseForward<c10::BFloat16>;
template class DenseForward<c10::Half>;

}  // namespace giantrabbit::ops::cpu
