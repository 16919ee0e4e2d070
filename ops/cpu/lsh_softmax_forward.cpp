// Forward of lsh_attention with softmax weights. In and out: lsh_kernels.h. Rounds follow each other; inside
// one every position belongs to one chunk, so threads share chunks and a query's result grows in the order of
// the rounds.
#include <cmath>

#include "ops/cpu/lsh_kernels.h"
#include "ops/cpu/lsh_tile.h"
#include "ops/cpu/row_normalizer.h"

namespace giantrabbit::ops::cpu {
namespace {

// A query's result over the rounds so far: their weighted mean and the log-sum-exp of their scores.
template <class A>
void merge(A lse, const A* round, int64_t width, A& total, A* mean) {
  if (lse == -std::numeric_limits<A>::infinity()) return;
  const A larger = std::max(lse, total);
  const A sum = larger + std::log(std::exp(lse - larger) + std::exp(total - larger));
  const A kept = std::exp(total - sum);
  const A added = std::exp(lse - sum);
  total = sum;
  if (added == A(0)) return;  // what has no weight may be infinite
  for (int64_t e = 0; e < width; ++e) mean[e] = (kept == A(0) ? A(0) : kept * mean[e]) + added * round[e];
}

template <class A>
class LshSoftmaxForward {
 public:
  LshSoftmaxForward(const LshProblem<A>& problem, int64_t head, A* output, A* shares)
      : problem_(problem), head_(problem.head(head)), output_(output), shares_(shares) {}

  void run() {
    totals_.assign(static_cast<size_t>(problem_.length), -std::numeric_limits<A>::infinity());
    std::fill_n(shares_, problem_.rounds * problem_.length, -std::numeric_limits<A>::infinity());
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
      std::vector<A> lse(static_cast<size_t>(tile.rows));
      for (int64_t i = begin; i < end; ++i) {
        tile.compute(round * chunks.per_round() + i, /*once=*/false);
        for (int64_t row = 0; row < tile.rows; ++row)
          lse[static_cast<size_t>(row)] = normalize(tile.scores.row(row), tile.padded);
        gather_rows(head_.value, problem_.value_width, tile.keys.data(), tile.columns, values);
        weighted_product<A>({tile.rows, problem_.value_width, tile.columns}, tile.scores.left(),
                            values.right(), all_finite(values.right(), tile.columns, problem_.value_width),
                            result.result(), false);
        add(round, tile, lse, result);
      }
    });
  }

  // Scores to weights; returns their log-sum-exp. The largest weight is exp(highest - lse).
  static A normalize(A* row, int64_t n) {
    const A top = highest(row, n);
    normalize_row(Normalizer::softmax, row, n);
    if (row[0] != row[0]) return row[0];
    if (top == -std::numeric_limits<A>::infinity()) return top;
    return top - std::log(highest(row, n));
  }

  void add(int64_t round, const LshTile<A>& tile, const std::vector<A>& lse, const ScratchMatrix<A>& result) {
    for (int64_t row = 0; row < tile.rows; ++row) {
      const int64_t query = tile.queries[row];
      if (query == kNobody) continue;
      const A of_row = lse[static_cast<size_t>(row)];
      shares_[round * problem_.length + query] = of_row;
      merge(of_row, result.row(row), problem_.value_width, totals_[static_cast<size_t>(query)],
            output_ + query * problem_.value_width);
    }
  }

  // A query that saw nothing else sees itself.
  void finish(int64_t query) {
    const A total = totals_[static_cast<size_t>(query)];
    const bool nothing = total == -std::numeric_limits<A>::infinity();
    for (int64_t round = 0; round < problem_.rounds; ++round) {
      A& share = shares_[round * problem_.length + query];
      share = nothing ? A(0) : std::exp(share - total);
    }
    if (!nothing || !head_.sees_itself_last(query, problem_.pattern)) return;
    std::copy_n(head_.value + query * problem_.value_width, problem_.value_width,
                output_ + query * problem_.value_width);
  }

  const LshProblem<A>& problem_;
  const LshHead<A> head_;
  A* output_;
  A* shares_;
  std::vector<A> totals_;
};

}  // namespace

template <class A>
void lsh_softmax_forward(const LshProblem<A>& problem, const at::Tensor& output, const at::Tensor& shares) {
  A* const rows = output.mutable_data_ptr<A>();
  A* const share = shares.mutable_data_ptr<A>();
  for_each_head(problem.heads, [&](int64_t head) {
    LshSoftmaxForward<A>(problem, head, rows + head * problem.length * problem.value_width,
                         share + head * problem.rounds * problem.length)
        .run();
  });
}

template void lsh_softmax_forward<float>(const LshProblem<float>&, const at::Tensor&, const at::Tensor&);
template void lsh_softmax_forward<double>(const LshProblem<double>&, const at::Tensor&, const at::Tensor&);

}  // namespace giantrabbit::ops::cpu
