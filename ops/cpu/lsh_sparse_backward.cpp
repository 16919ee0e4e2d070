// Backward of lsh_attention with sparsemax or entmax-1.5 weights, over the support alone. In and out:
// lsh_kernels.h. Rows first: the gradients of scores and queries. Then every key sums over the queries that
// use it, in their order.
#include <numeric>

#include <ATen/Functions.h>

#include "ops/cpu/attention_matrix.h"
#include "ops/cpu/lsh_kernels.h"
#include "ops/cpu/row_normalizer.h"

namespace giantrabbit::ops::cpu {
namespace {

constexpr int64_t kRows = 64;  // per thread at least

// Rows [length, width] of one head as a right factor; rows that are no whole paddings are copied.
template <class A>
struct PackedRows {
  PackedRows(const A* rows, int64_t length, int64_t width)
      : scratch(width % kColumnPadding == 0 ? 0 : length, width),
        matrix(right_factor<A, A>({rows, width, 1, length, width}, scratch)) {}
  const A* row(int64_t i) const { return matrix.data + i * matrix.row; }

  ScratchMatrix<A> scratch;
  RowMatrix<const A> matrix;
};

// The support of one head; `offsets` count from the first entry of all heads.
template <class A>
struct HeadSupport {
  const int64_t* offsets;
  const int32_t* keys;
  const A* weights;
};

template <class A>
class LshSparseBackward {
 public:
  LshSparseBackward(const LshProblem<A>& problem, const LshHead<A>& head, const A* grad,
                    const HeadSupport<A>& support, A* score_grads)
      : problem_(problem),
        support_(support),
        score_grads_(score_grads),
        queries_(head.query, problem.length, problem.width),
        keys_(head.key, problem.length, problem.width),
        values_(head.value, problem.length, problem.value_width),
        grads_(grad, problem.length, problem.value_width) {}

  // Scores and queries; `target` may be null.
  void run_queries(A* target) {
    at::parallel_for(0, problem_.length, kRows, [&](int64_t begin, int64_t end) {
      ScratchMatrix<A> sum(1, problem_.width);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = support_.offsets[i];
        const int64_t count = support_.offsets[i + 1] - first;
        const int32_t* keys = support_.keys + first;
        A* score_grads = score_grads_ + first;
        dots<A>({count, keys, nullptr}, grads_.row(i), values_.matrix, problem_.value_width, score_grads);
        normalize_row_backward(problem_.normalizer, support_.weights + first, score_grads, count);
        for (int64_t e = 0; e < count; ++e) score_grads[e] *= problem_.scale;
        if (target == nullptr) continue;
        combine<A>({count, keys, score_grads}, keys_.matrix, problem_.width, sum.row(0));
        std::copy_n(sum.row(0), problem_.width, target + i * problem_.width);
      }
    });
  }

  // Keys and values, whichever target is not null.
  void run_keys(A* key_target, A* value_target) {
    transpose_support();
    at::parallel_for(0, problem_.length, kRows, [&](int64_t begin, int64_t end) {
      std::vector<A> factors;
      ScratchMatrix<A> sum(1, std::max(problem_.width, problem_.value_width));
      for (int64_t key = begin; key < end; ++key) {
        add_rows(key, score_grads_, queries_, problem_.width, key_target, factors, sum.row(0));
        add_rows(key, support_.weights, grads_, problem_.value_width, value_target, factors, sum.row(0));
      }
    });
  }

 private:
  // Entries of a key are first_[key] .. first_[key + 1] - 1, queries rising: a counting sort.
  void transpose_support() {
    const int64_t begin = support_.offsets[0];
    const int64_t end = support_.offsets[problem_.length];
    first_.assign(static_cast<size_t>(problem_.length + 2), 0);
    for (int64_t e = begin; e < end; ++e) ++first_[static_cast<size_t>(support_.keys[e] + 2)];
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
    rows_.resize(static_cast<size_t>(end - begin));
    entries_.resize(rows_.size());
    // first_[key + 1] is where the next entry of the key goes; in the end it is the first of the next key.
    for (int64_t i = 0; i < problem_.length; ++i) {
      for (int64_t e = support_.offsets[i]; e < support_.offsets[i + 1]; ++e) {
        const auto place = static_cast<size_t>(first_[static_cast<size_t>(support_.keys[e] + 1)]++);
        rows_[place] = static_cast<int32_t>(i);
        entries_[place] = e;
      }
    }
  }

  // target[key] = sum over the queries that use the key of their number in `of_entries` times their row.
  void add_rows(int64_t key, const A* of_entries, const PackedRows<A>& rows, int64_t width, A* target,
                std::vector<A>& factors, A* sum) const {
    if (target == nullptr) return;
    const int64_t first = first_[static_cast<size_t>(key)];
    const int64_t count = first_[static_cast<size_t>(key + 1)] - first;
    factors.clear();
    for (int64_t e = first; e < first + count; ++e)
      factors.push_back(of_entries[entries_[static_cast<size_t>(e)]]);
    combine<A>({count, rows_.data() + first, factors.data()}, rows.matrix, width, sum);
    std::copy_n(sum, width, target + key * width);
  }

  const LshProblem<A>& problem_;
  const HeadSupport<A> support_;
  A* score_grads_;
  PackedRows<A> queries_;
  PackedRows<A> keys_;
  PackedRows<A> values_;
  PackedRows<A> grads_;
  std::vector<int64_t> first_;
  std::vector<int32_t> rows_;
  std::vector<int64_t> entries_;
};

}  // namespace

template <class A>
void lsh_sparse_backward(const LshProblem<A>& problem, const at::Tensor& grad, const LshSupport& support,
                         const LshTargets& targets) {
  const at::Tensor score_grads = at::empty_like(support.weights);
  const auto target = [&](const at::Tensor& tensor, int64_t offset) {
    return tensor.defined() ? tensor.mutable_data_ptr<A>() + offset : nullptr;
  };
  for_each_head(problem.heads, [&](int64_t head) {
    const int64_t keys = head * problem.length * problem.width;
    const int64_t values = head * problem.length * problem.value_width;
    const HeadSupport<A> of_head{support.row_offsets.const_data_ptr<int64_t>() + head * problem.length,
                                 support.key_indices.const_data_ptr<int32_t>(),
                                 support.weights.const_data_ptr<A>()};
    LshSparseBackward<A> backward(problem, problem.head(head), grad.const_data_ptr<A>() + values, of_head,
                                  score_grads.mutable_data_ptr<A>());
    if (targets.query.defined() || targets.key.defined()) backward.run_queries(target(targets.query, keys));
    if (targets.key.defined() || targets.value.defined()) {
      backward.run_keys(target(targets.key, keys), target(targets.value, values));
    }
  });
}

template void lsh_sparse_backward<float>(const LshProblem<float>&, const at::Tensor&, const LshSupport&,
                                         const LshTargets&);
template void lsh_sparse_backward<double>(const LshProblem<double>&, const at::Tensor&, const LshSupport&,
                                          const LshTargets&);

}  // namespace giantrabbit::ops::cpu
