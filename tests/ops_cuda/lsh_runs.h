// Runs the steps of LSH attention and its gradient as ops/cuda/lsh_attention_kernel.cpp does, with plain
// memory instead of tensors.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "tests/ops_cuda/lsh_cases.h"

namespace giantrabbit::ops::cuda {

// Of the computing type, one head behind the other.
template <class M>
struct LshRun {
  std::vector<M> result;
  std::vector<M> grad_query;
  std::vector<M> grad_key;
  std::vector<M> grad_value;

  std::vector<const std::vector<M>*> all() const { return {&result, &grad_query, &grad_key, &grad_value}; }
};

template <class Stored>
class LshRunner {
  using M = std::conditional_t<std::is_same_v<Stored, double>, double, float>;
  template <class T>
  using Buffer = cuda_emulator::DeviceBuffer<T>;

 public:
  explicit LshRunner(const LshInputsOf<Stored>& inputs)
      : inputs_(inputs),
        query_(inputs.query),
        key_(inputs.key),
        value_(inputs.value),
        grad_(inputs.grad),
        order_(inputs.order),
        valid_(inputs.valid),
        problem_(inputs.problem),
        heads_(inputs.sizes.batch * inputs.sizes.heads),
        rows_(static_cast<size_t>(heads_ * inputs.sizes.length)) {
    problem_.order = order_.get();
    static_assert(sizeof(bool) == sizeof(char));
    if (inputs.sizes.padding) problem_.valid = reinterpret_cast<const bool*>(valid_.get());
  }

  LshRun<M> run(Normalizer normalizer) const {
    return normalizer == Normalizer::softmax ? run_softmax() : run_sparse(normalizer, true);
  }
  // Of a sparse normalizer.
  std::vector<M> result(Normalizer normalizer) const { return run_sparse(normalizer, false).result; }

 private:
  static constexpr Dtype kType = kDtype<Stored>;

  LshInputs tensors() const { return {query_.get(), key_.get(), value_.get()}; }
  Buffer<M> zeros(int64_t width) const {
    return Buffer<M>(std::vector<M>(rows_ * static_cast<size_t>(width), M(0)));
  }

  LshRun<M> run_softmax() const {
    const Buffer<M> output = zeros(problem_.value_width);
    const Buffer<M> log_sums(std::vector<M>(rows_, -std::numeric_limits<M>::infinity()));
    EXPECT_EQ(launch_lsh_softmax(kType, problem_, tensors(), output.get(), log_sums.get(), nullptr), 0);
    const Buffer<M> means(rows_);
    const Buffer<M> query = zeros(problem_.width);
    const Buffer<M> key = zeros(problem_.width);
    const Buffer<M> value = zeros(problem_.value_width);
    EXPECT_EQ(launch_lsh_softmax_backward(kType, problem_, tensors(), grad_.get(), inputs_.grad_layout(),
                                          output.get(), log_sums.get(), means.get(),
                                          {query.get(), key.get(), value.get()}, nullptr),
              0);
    return {output.values(), query.values(), key.values(), value.values()};
  }

  LshRun<M> run_sparse(Normalizer normalizer, bool with_gradients) const {
    const Buffer<M> output = zeros(problem_.value_width);
    const Buffer<int32_t> numbers(rows_ * static_cast<size_t>(problem_.rounds));
    EXPECT_EQ(launch_lsh_chunk_numbers(problem_, numbers.get(), nullptr), 0);
    const Buffer<M> maxima(rows_);
    const Buffer<double> taus(rows_);
    const Buffer<int64_t> counts(rows_);
    const LshThresholds thresholds =
        with_gradients ? LshThresholds{maxima.get(), taus.get(), counts.get()} : LshThresholds{};
    std::vector<int64_t> all_keys;
    std::vector<int64_t> all_queries;
    std::vector<M> all_weights;
    std::vector<int64_t> all_offsets{0};
    for (int64_t first = 0; first < heads_; first += 2) {  // two heads at a time
      const LshHeads heads{first, std::min<int64_t>(2, heads_ - first)};
      const auto rows = static_cast<size_t>(heads.count * problem_.length);
      const Buffer<M> scores(rows * static_cast<size_t>(lsh_row_length(problem_)));
      EXPECT_EQ(launch_lsh_scores(kType, problem_, heads, tensors(), numbers.get(), scores.get(), nullptr),
                0);
      EXPECT_EQ(launch_lsh_sparse_rows(normalizer, kType, problem_, heads, value_.get(), numbers.get(),
                                       scores.get(), output.get(), thresholds, nullptr),
                0);
      if (!with_gradients) continue;
      // Offsets of these heads, from 0 on, at their rows.
      std::vector<int64_t> offsets(rows_ + 1, 0);
      const auto begin = static_cast<size_t>(first * problem_.length);
      for (size_t row = begin; row < begin + rows; ++row) {
        offsets[row + 1] = offsets[row] + counts.get()[row];
        all_offsets.push_back(all_offsets.back() + counts.get()[row]);
      }
      const auto total = static_cast<size_t>(offsets[begin + rows]);
      const Buffer<int64_t> of_rows(offsets);
      const Buffer<int64_t> keys(total);
      const Buffer<int64_t> queries(total);
      const Buffer<M> weights(total);
      EXPECT_EQ(
          launch_lsh_support(normalizer, kType, problem_, heads, numbers.get(), scores.get(), thresholds,
                             {of_rows.get(), keys.get(), queries.get(), weights.get()}, nullptr),
          0);
      for (size_t entry = 0; entry < total; ++entry) {
        all_keys.push_back(keys.get()[entry]);
        all_queries.push_back(queries.get()[entry]);
        all_weights.push_back(weights.get()[entry]);
      }
    }
    if (!with_gradients) return {output.values(), {}, {}, {}};
    LshRun<M> result = run_sparse_backward(normalizer, all_offsets, all_keys, all_queries, all_weights);
    result.result = output.values();
    return result;
  }

  LshRun<M> run_sparse_backward(Normalizer normalizer, const std::vector<int64_t>& all_offsets,
                                const std::vector<int64_t>& all_keys, const std::vector<int64_t>& all_queries,
                                const std::vector<M>& all_weights) const {
    std::vector<int64_t> entries(all_keys.size());
    std::iota(entries.begin(), entries.end(), int64_t{0});
    std::stable_sort(entries.begin(), entries.end(), [&](int64_t a, int64_t b) {
      return all_keys[static_cast<size_t>(a)] < all_keys[static_cast<size_t>(b)];
    });
    std::vector<int64_t> of_keys(rows_ + 1, 0);
    for (const int64_t key : all_keys) ++of_keys[static_cast<size_t>(key) + 1];
    std::partial_sum(of_keys.begin(), of_keys.end(), of_keys.begin());
    const Buffer<int64_t> offsets(all_offsets);
    const Buffer<int64_t> keys(all_keys);
    const Buffer<int64_t> queries(all_queries);
    const Buffer<M> weights(all_weights);
    const Buffer<int64_t> by_key(entries);
    const Buffer<int64_t> key_offsets(of_keys);
    const Buffer<M> score_grads(all_keys.size());
    const Buffer<M> query(rows_ * static_cast<size_t>(problem_.width));
    const Buffer<M> key(query.size());
    const Buffer<M> value(rows_ * static_cast<size_t>(problem_.value_width));
    const LshSupport support{offsets.get(), keys.get(), queries.get(), weights.get()};
    EXPECT_EQ(launch_lsh_sparse_backward_queries(normalizer, kType, problem_, tensors(), grad_.get(),
                                                 inputs_.grad_layout(), support, score_grads.get(),
                                                 query.get(), nullptr),
              0);
    EXPECT_EQ(launch_lsh_sparse_backward_keys(
                  kType, problem_, query_.get(), grad_.get(), inputs_.grad_layout(), support,
                  score_grads.get(), key_offsets.get(), by_key.get(), key.get(), value.get(), nullptr),
              0);
    return {{}, query.values(), key.values(), value.values()};
  }

  const LshInputsOf<Stored>& inputs_;
  Buffer<Stored> query_;
  Buffer<Stored> key_;
  Buffer<Stored> value_;
  Buffer<Stored> grad_;
  Buffer<int64_t> order_;
  Buffer<char> valid_;
  LshProblem problem_;
  int64_t heads_;
  size_t rows_;
};

}  // namespace giantrabbit::ops::cuda
