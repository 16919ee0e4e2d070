// Forward of lsh_attention with softmax weights. In and out: lsh_kernels.h. Rounds follow each other; inside
// one every position belongs to one chunk, so threads share chunks and a query's result grows in the order of
// the rounds.
#include <cmath>

#include "ops/cpu/lsh_kernels.h"
#include "ops/cpu/lsh_tile.h"

namespace giantrabbit::ops::cpu {
namespace {

// Joins what one round found to a query's result over the rounds before: the weighted mean of the values and
// the log-sum-exp of the scores. `values` is the round's sum of values under its exponentials.
template <class A>
void merge(const LshRowSum<A>& round, const A* values, int64_t width, A& log_sum, A* mean) {
  if (round.sum == A(0)) return;
  const A of_round = round.top + std::log(round.sum);
  const A smaller = std::exp(-std::abs(of_round - log_sum));
  const A whole = A(1) + smaller;
  const bool leads = of_round >= log_sum;
  const A kept = (leads ? smaller : A(1)) / whole;
  const A added = (leads ? A(1) : smaller) / whole / round.sum;
  log_sum = std::max(of_round, log_sum) + std::log1p(smaller);
  if (added == A(0)) return;  // what has no weight may be infinite
  if (kept == A(0)) {
    for (int64_t e = 0; e < width; ++e) mean[e] = added * values[e];
  } else {
    for (int64_t e = 0; e < width; ++e) mean[e] = kept * mean[e] + added * values[e];
  }
}

template <class A>
class LshSoftmaxForward {
 public:
  LshSoftmaxForward(const LshProblem<A>& problem, int64_t head, A* output, A* log_sums)
      : problem_(problem), head_(problem.head(head)), output_(output), log_sums_(log_sums) {}

  void run() {
    std::fill_n(log_sums_, problem_.length, -std::numeric_limits<A>::infinity());
    for (int64_t round = 0; round < problem_.rounds; ++round) run_round(round);
    for (int64_t i = 0; i < problem_.length; ++i) finish(i);
  }

 private:
  void run_round(int64_t round) {
    const LshChunks& chunks = head_.chunks;
    at::parallel_for(0, chunks.per_round(), problem_.grain(chunks), [&](int64_t begin, int64_t end) {
      LshTile<A> tile(problem_, head_);
      ScratchMatrix<A> values(tile.columns, problem_.value_width);
      ScratchMatrix<A> result(tile.rows, problem_.value_width);
      std::vector<LshRowSum<A>> sums(static_cast<size_t>(tile.rows));
      for (int64_t i = begin; i < end; ++i) {
        tile.compute(round * chunks.per_round() + i, /*once=*/false);
        if (i + 1 < end) {
          tile.fetch(round * chunks.per_round() + i + 1);
          tile.fetch_seen(round * chunks.per_round() + i + 1, head_.value, problem_.value_width);
        }
        fetch_rows<A>({output_, problem_.value_width}, problem_.value_width, tile.queries, tile.rows);
        for (int64_t row = 0; row < tile.rows; ++row)
          sums[static_cast<size_t>(row)] =
              lsh_functions_of<A>().exponentials(tile.row(row), tile.scores.row(row));
        gather_rows(head_.value, problem_.value_width, tile.keys.data(), tile.columns, values);
        weighted_product<A>({tile.rows, problem_.value_width, tile.columns}, tile.scores.left(),
                            values.right(), all_finite(values.right(), tile.columns, problem_.value_width),
                            result.result(), false);
        add(tile, sums, result);
      }
    });
  }

  void add(const LshTile<A>& tile, const std::vector<LshRowSum<A>>& sums, const ScratchMatrix<A>& result) {
    for (int64_t row = 0; row < tile.rows; ++row) {
      const int64_t query = tile.queries[row];
      if (query == kNobody) continue;
      merge(sums[static_cast<size_t>(row)], result.row(row), problem_.value_width, log_sums_[query],
            output_ + query * problem_.value_width);
    }
  }

  // A query that saw nothing else sees itself.
  void finish(int64_t query) {
    if (log_sums_[query] != -std::numeric_limits<A>::infinity()) return;
    if (!head_.sees_itself_last(query, problem_.pattern)) return;
    std::copy_n(head_.value + query * problem_.value_width, problem_.value_width,
                output_ + query * problem_.value_width);
  }

  const LshProblem<A>& problem_;
  const LshHead<A> head_;
  A* output_;
  A* log_sums_;
};

}  // namespace

template <class A>
void lsh_softmax_forward(const LshProblem<A>& problem, const at::Tensor& output, const at::Tensor& log_sums) {
  A* const rows = output.mutable_data_ptr<A>();
  A* const sums = log_sums.mutable_data_ptr<A>();
  for_each_head(problem.heads, [&](int64_t head) {
    LshSoftmaxForward<A>(problem, head, rows + head * problem.length * problem.value_width,
                         sums + head * problem.length)
        .run();
  });
}

template void lsh_softmax_forward<float>(const LshProblem<float>&, const at::Tensor&, const at::Tensor&);
template void lsh_softmax_forward<double>(const LshProblem<double>&, const at::Tensor&, const at::Tensor&);

}  // namespace giantrabbit::ops::cpu
