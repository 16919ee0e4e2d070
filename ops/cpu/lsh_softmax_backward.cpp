// Backward of lsh_attention with softmax weights. In and out: lsh_kernels.h. Weights are computed again,
// chunk by chunk. Chunks whose windows do not overlap run at the same time and add to sums of their own
// places; after each round the sums go to the positions.
#include <numeric>

#include "ops/cpu/lsh_kernels.h"
#include "ops/cpu/lsh_tile.h"

namespace giantrabbit::ops::cpu {
namespace {

// The rows of one head; null where no gradient is asked for.
template <class A>
struct HeadGradients {
  A* query;
  A* key;
  A* value;
};

// Scratch of one thread.
template <class A>
struct BackwardTile {
  BackwardTile(const LshProblem<A>& problem, const LshHead<A>& head)
      : scores(problem, head),
        grads(scores.rows, problem.value_width),
        values(scores.columns, problem.value_width),
        values_transposed(problem.value_width, scores.columns),
        score_grads(scores.rows, scores.columns),
        query_grads(scores.rows, problem.width) {}

  LshTile<A> scores;  // weights, once they are normalised
  ScratchMatrix<A> grads;
  ScratchMatrix<A> values;
  ScratchMatrix<A> values_transposed;
  ScratchMatrix<A> score_grads;
  ScratchMatrix<A> query_grads;
};

// Sums of a gradient over the queries of one round, by place in the round's chunks and their neighbours.
template <class A>
class PlaceSums {
 public:
  PlaceSums(const LshChunks& chunks, int64_t width, A* target)
      : chunks_(chunks),
        width_(width),
        target_(target),
        parts_(chunks.per_round() + chunks.window() - 1),
        sums_(target != nullptr ? parts_ * chunks.chunk_length() : 0, width) {
    if (target == nullptr) return;
    for (int64_t part = 0; part < parts_; ++part) clear(part);
  }

  bool wanted() const { return target_ != nullptr; }
  // Where the window of chunk `i` of the round begins.
  RowMatrix<A> window(int64_t i) { return {sums_.row(i * chunks_.chunk_length()), sums_.stride()}; }

  // Adds the sums to the positions and starts anew. A position stands in one chunk of the round; chunks of
  // the neighbouring rounds hold it again.
  void fold(int64_t round) {
    if (!wanted()) return;
    const int64_t first = chunks_.before();
    const int64_t last = first + chunks_.per_round();
    const int64_t grain = std::max<int64_t>(1, kNumbers / (chunks_.chunk_length() * (width_ + 1)));
    at::parallel_for(first, last, grain, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) fold_part(round, part);
    });
    for (int64_t part = 0; part < first; ++part) fold_part(round, part);
    for (int64_t part = last; part < parts_; ++part) fold_part(round, part);
  }

 private:
  static constexpr int64_t kNumbers = 32768;  // per thread at least

  void fold_part(int64_t round, int64_t part) {
    const int32_t* positions = chunks_.positions(chunks_.seen(round * chunks_.per_round(), part));
    for (int64_t i = 0; i < chunks_.chunk_length(); ++i) {
      if (positions[i] == kNobody) continue;
      const A* sum = sums_.row(part * chunks_.chunk_length() + i);
      A* target = target_ + positions[i] * width_;
      for (int64_t e = 0; e < width_; ++e) target[e] += sum[e];
    }
    clear(part);
  }

  void clear(int64_t part) {
    std::fill_n(sums_.row(part * chunks_.chunk_length()), chunks_.chunk_length() * sums_.stride(), A(0));
  }

  const LshChunks& chunks_;
  int64_t width_;
  A* target_;
  int64_t parts_;
  ScratchMatrix<A> sums_;
};

template <class A>
class LshSoftmaxBackward {
 public:
  LshSoftmaxBackward(const LshProblem<A>& problem, int64_t head, const A* grad, const A* output,
                     const A* log_sums, const HeadGradients<A>& targets)
      : problem_(problem),
        head_(problem.head(head)),
        grad_(grad),
        output_(output),
        log_sums_(log_sums),
        targets_(targets),
        key_sums_(head_.chunks, problem.width, targets.key),
        value_sums_(head_.chunks, problem.value_width, targets.value) {}

  void run() {
    const int64_t width = problem_.value_width;
    means_.resize(static_cast<size_t>(problem_.length));
    for (int64_t i = 0; i < problem_.length; ++i) {
      means_[static_cast<size_t>(i)] =
          std::inner_product(grad_ + i * width, grad_ + (i + 1) * width, output_ + i * width, A(0));
    }
    for (int64_t round = 0; round < problem_.rounds; ++round) {
      for (int64_t first = 0; first < head_.chunks.window(); ++first) run_apart(round, first);
      key_sums_.fold(round);
      value_sums_.fold(round);
    }
    for (int64_t i = 0; targets_.value != nullptr && i < problem_.length; ++i) add_own_value(i);
  }

 private:
  // Every chunk of the round whose number is `first` modulo the window: their windows lie apart.
  void run_apart(int64_t round, int64_t first) {
    const LshChunks& chunks = head_.chunks;
    const int64_t count = (chunks.per_round() - first + chunks.window() - 1) / chunks.window();
    at::parallel_for(0, count, problem_.grain(chunks), [&](int64_t begin, int64_t end) {
      BackwardTile<A> tile(problem_, head_);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t chunk = first + i * chunks.window();
        if (i + 1 < end) fetch(round * chunks.per_round() + chunk + chunks.window(), tile.scores);
        add_chunk(round, chunk, tile);
      }
    });
  }

  void fetch(int64_t chunk, const LshTile<A>& tile) const {
    tile.fetch(chunk);
    tile.fetch_seen(chunk, head_.value, problem_.value_width);
    fetch_rows<A>({grad_, problem_.value_width}, problem_.value_width, head_.chunks.positions(chunk),
                  tile.rows);
  }

  void add_chunk(int64_t round, int64_t i, BackwardTile<A>& tile) {
    LshTile<A>& weights = tile.scores;
    weights.compute(round * head_.chunks.per_round() + i, /*once=*/false);
    for (int64_t row = 0; row < weights.rows; ++row) normalize(row, weights);
    gather_rows(grad_, problem_.value_width, weights.queries, weights.rows, tile.grads);
    if (value_sums_.wanted()) {
      add_transposed(weights.scores, weights, tile.grads, problem_.value_width, value_sums_.window(i));
    }
    if (targets_.query == nullptr && !key_sums_.wanted()) return;
    compute_score_grads(tile);
    if (targets_.query != nullptr) add_query_grads(tile);
    if (key_sums_.wanted()) {
      add_transposed(tile.score_grads, weights, weights.query_rows, problem_.width, key_sums_.window(i));
    }
  }

  // Scores to weights among all that the query sees in all rounds.
  void normalize(int64_t i, const LshTile<A>& weights) const {
    const A log_sum = weights.queries[i] == kNobody ? A(0) : log_sums_[weights.queries[i]];
    lsh_functions_of<A>().weights(weights.row(i), log_sum, weights.scores.row(i));
  }

  // sums += factors^T . rows
  static void add_transposed(const ScratchMatrix<A>& factors, const LshTile<A>& tile,
                             const ScratchMatrix<A>& rows, int64_t width, const RowMatrix<A>& sums) {
    weighted_product<A>({tile.columns, width, tile.rows}, {factors.row(0), 1, factors.stride()}, rows.right(),
                        all_finite(rows.right(), tile.rows, width), sums, true);
  }

  // Softmax: weight times the distance of the weight's gradient from its mean, times the scale.
  void compute_score_grads(BackwardTile<A>& tile) const {
    const LshTile<A>& weights = tile.scores;
    const int64_t width = problem_.value_width;
    gather_rows(head_.value, width, weights.keys.data(), weights.columns, tile.values);
    transpose(weights.columns, width, tile.values.left(), A(1), tile.values_transposed.result());
    matrix_product<A>({weights.rows, weights.columns, width}, tile.grads.left(),
                      tile.values_transposed.right(), tile.score_grads.result(), false);
    for (int64_t i = 0; i < weights.rows; ++i) {
      const A mean = weights.queries[i] == kNobody ? A(0) : means_[static_cast<size_t>(weights.queries[i])];
      lsh_functions_of<A>().score_grads(weights.scores.row(i), mean, problem_.scale, weights.padded,
                                        tile.score_grads.row(i));
    }
  }

  void add_query_grads(BackwardTile<A>& tile) const {
    const LshTile<A>& weights = tile.scores;
    weighted_product<A>({weights.rows, problem_.width, weights.columns}, tile.score_grads.left(),
                        weights.key_rows.right(),
                        all_finite(weights.key_rows.right(), weights.columns, problem_.width),
                        tile.query_grads.result(), false);
    for (int64_t i = 0; i < weights.rows; ++i) {
      if (weights.queries[i] == kNobody) continue;
      const A* grad = tile.query_grads.row(i);
      A* target = targets_.query + weights.queries[i] * problem_.width;
      for (int64_t e = 0; e < problem_.width; ++e) target[e] += grad[e];
    }
  }

  // The result of a query that saw nothing else is its own value.
  void add_own_value(int64_t query) const {
    if (!head_.sees_itself_last(query, problem_.pattern)) return;
    if (log_sums_[query] != -std::numeric_limits<A>::infinity()) return;
    const int64_t width = problem_.value_width;
    for (int64_t e = query * width; e < (query + 1) * width; ++e) targets_.value[e] += grad_[e];
  }

  const LshProblem<A>& problem_;
  const LshHead<A> head_;
  const A* grad_;
  const A* output_;
  const A* log_sums_;
  HeadGradients<A> targets_;
  PlaceSums<A> key_sums_;
  PlaceSums<A> value_sums_;
  std::vector<A> means_;  // of the weights' gradients under the weights
};

}  // namespace

template <class A>
void lsh_softmax_backward(const LshProblem<A>& problem, const at::Tensor& grad, const at::Tensor& output,
                          const at::Tensor& log_sums, const LshTargets& targets) {
  const auto target = [&](const at::Tensor& tensor, int64_t offset) {
    return tensor.defined() ? tensor.mutable_data_ptr<A>() + offset : nullptr;
  };
  for_each_head(problem.heads, [&](int64_t head) {
    const int64_t keys = head * problem.length * problem.width;
    const int64_t values = head * problem.length * problem.value_width;
    LshSoftmaxBackward<A>(
        problem, head, grad.const_data_ptr<A>() + values, output.const_data_ptr<A>() + values,
        log_sums.const_data_ptr<A>() + head * problem.length,
        {target(targets.query, keys), target(targets.key, keys), target(targets.value, values)})
        .run();
  });
}

template void lsh_softmax_backward<float>(const LshProblem<float>&, const at::Tensor&, const at::Tensor&,
                                          const at::Tensor&, const LshTargets&);
template void lsh_softmax_backward<double>(const LshProblem<double>&, const at::Tensor&, const at::Tensor&,
                                           const at::Tensor&, const LshTargets&);

}  // namespace giantrabbit::ops::cpu
