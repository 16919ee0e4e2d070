// Attention from the forward pass to all gradients, as the operators queue the launches, with the sums of
// counts that LibTorch does there done here.
#pragma once

#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "tests/ops_cuda/attention_cases.h"

namespace giantrabbit::ops::cuda {

template <class Stored>
class AttentionPipeline {
 public:
  using Sum = typename AttentionInputs<Stored>::Sum;
  template <class T>
  using Buffer = cuda_emulator::DeviceBuffer<T>;

  struct Wanted {
    bool query = true;
    bool key = true;
    bool value = true;
    bool bias = true;
  };

  explicit AttentionPipeline(const AttentionInputs<Stored>& inputs)
      : problem(inputs.problem),
        query_(inputs.query),
        key_(inputs.key),
        value_(inputs.value),
        result_grad_(inputs.result_grad),
        lengths_(inputs.key_lengths),
        offsets_(inputs.row_offsets),
        indices_(inputs.key_indices),
        bias_(inputs.bias) {
    const AttentionCase& s = inputs.sizes;
    if (s.with_lengths) problem.key_lengths = lengths_.get();
    if (s.block_rows > 0) {
      const int64_t row = inputs.list_rows() + 1;
      problem.lists = {offsets_.get(),
                       indices_.get(),
                       static_cast<int64_t>(inputs.key_indices.size()),
                       s.lists_per_head ? s.heads * row : 0,
                       s.lists_per_head ? row : 0,
                       s.block_rows,
                       s.block_columns};
    }
    if (s.with_bias) problem.bias = {bias_.get(), {0, s.queries * s.keys, s.keys}, 1};
  }

  void attend(Normalizer normalizer) {
    const Buffer<Stored> out(static_cast<size_t>(problem.batch * problem.result.batch));
    const Buffer<unsigned char> workspace = workspace_for(normalizer);
    expect_success(launch_attention(normalizer, kDtype<Stored>, problem, query_.get(), key_.get(),
                                    value_.get(), out.get(), workspace.get(), nullptr));
    result = out.values();
  }

  // The result and the support; `everything`: also the entries of wide rows.
  void attend_and_keep(Normalizer normalizer, int64_t capacity, bool everything) {
    const bool entries = normalizer != Normalizer::softmax;
    const Buffer<Stored> out(static_cast<size_t>(problem.batch * problem.result.batch));
    const Buffer<unsigned char> workspace = workspace_for(normalizer);
    const Buffer<double> kept_states(rows() * 2);
    const Buffer<int64_t> counts(rows());
    const Buffer<int32_t> flags(static_cast<size_t>(
        problem.batch * problem.heads * ((problem.queries + kQueriesPerBlock - 1) / kQueriesPerBlock)));
    const Buffer<int32_t> kept_keys(entries ? rows() * static_cast<size_t>(capacity) : 0);
    const Buffer<Sum> kept_weights(kept_keys.size());
    const KeptRows kept{kept_states.get(),
                        counts.get(),
                        flags.get(),
                        entries ? kept_keys.get() : nullptr,
                        entries ? kept_weights.get() : nullptr,
                        entries ? capacity : 0,
                        everything};
    expect_success(launch_attention(normalizer, kDtype<Stored>, problem, query_.get(), key_.get(),
                                    value_.get(), out.get(), workspace.get(), nullptr, kept));
    result = out.values();
    states = kept_states.values();
    wide_blocks = flags.values();
    row_offsets = sums(counts.values());
    const Buffer<int64_t> offsets(row_offsets);
    const Buffer<int32_t> to_keys(static_cast<size_t>(row_offsets.back()));
    const Buffer<Sum> to_weights(to_keys.size());
    expect_success(launch_attention_support(normalizer, kDtype<Stored>, problem, query_.get(), key_.get(),
                                            kept, offsets.get(), to_keys.get(), to_weights.get(), nullptr));
    keys = to_keys.values();
    weights = to_weights.values();
  }

  // From the support that attend_and_keep() found last.
  void differentiate(Normalizer normalizer, const Wanted& wanted) {
    const Buffer<double> row_states(states);
    const Buffer<int32_t> flags(wide_blocks);
    const Buffer<int32_t> wide_heads(largest_of_heads(wide_blocks));
    const Buffer<int64_t> offsets(row_offsets);
    const Buffer<int32_t> entry_keys(keys);
    const Buffer<Sum> entry_weights(weights);
    const AttentionSupportRows support{row_states.get(), flags.get(),      wide_heads.get(),
                                       offsets.get(),    entry_keys.get(), entry_weights.get()};
    const AttentionOperands operands{query_.get(), key_.get(), value_.get(), result_grad_.get()};
    const Buffer<Sum> entry_grads(keys.size());
    const Buffer<double> means(rows());
    const Buffer<Stored> to_query(wanted.query ? query_.size() : 0);
    const Buffer<Sum> to_bias(std::vector<Sum>(wanted.bias ? rows() * static_cast<size_t>(problem.keys) : 0));
    expect_success(launch_attention_backward_rows(
        normalizer, kDtype<Stored>, problem, operands, support,
        {wanted.key ? entry_grads.get() : nullptr, wanted.key ? means.get() : nullptr,
         wanted.query ? to_query.get() : nullptr, problem.query, wanted.bias ? to_bias.get() : nullptr},
        nullptr));
    query_grad = to_query.values();
    bias_grad = to_bias.values();
    if (wanted.key || wanted.value)
      differentiate_keys(normalizer, wanted, operands, support, entry_grads, means);
  }

  AttentionProblem problem;
  std::vector<Stored> result;
  std::vector<double> states;
  std::vector<int64_t> row_offsets;
  std::vector<int32_t> keys;
  std::vector<int32_t> wide_blocks;
  std::vector<Sum> weights;
  std::vector<Stored> query_grad;
  std::vector<Stored> key_grad;
  std::vector<Stored> value_grad;
  std::vector<Sum> bias_grad;

 private:
  static void expect_success(int error) { ASSERT_EQ(error, cudaSuccess); }

  Buffer<unsigned char> workspace_for(Normalizer normalizer) const {
    return Buffer<unsigned char>(
        static_cast<size_t>(attention_workspace_bytes(normalizer, kDtype<Stored>, problem)));
  }

  size_t rows() const { return static_cast<size_t>(problem.batch * problem.heads * problem.queries); }

  template <class Count>
  static std::vector<int64_t> sums(const std::vector<Count>& counts) {
    std::vector<int64_t> all(counts.size() + 1, 0);
    std::partial_sum(counts.begin(), counts.end(), all.begin() + 1, std::plus<int64_t>());
    return all;
  }

  std::vector<int32_t> largest_of_heads(const std::vector<int32_t>& blocks) const {
    const auto heads = static_cast<size_t>(problem.batch * problem.heads);
    std::vector<int32_t> largest(heads, 0);
    for (size_t i = 0; i < blocks.size(); ++i) {
      int32_t& of_head = largest[i / (blocks.size() / heads)];
      of_head = std::max(of_head, blocks[i]);
    }
    return largest;
  }

  void differentiate_keys(Normalizer normalizer, const Wanted& wanted, const AttentionOperands& operands,
                          const AttentionSupportRows& support, const Buffer<Sum>& entry_grads,
                          const Buffer<double>& means) {
    const auto cells =
        static_cast<size_t>(problem.batch * problem.key_heads * problem.keys * kTransposeParts);
    const Buffer<int32_t> counts(std::vector<int32_t>(cells, 0));
    expect_success(launch_count_support_columns(problem, support, counts.get(), nullptr));
    std::vector<int64_t> begins = sums(counts.values());
    begins.pop_back();
    const Buffer<int64_t> ends(begins);
    const Buffer<int32_t> to_rows(keys.size());
    const Buffer<Sum> to_weights(keys.size());
    const Buffer<Sum> to_grads(keys.size());
    const TransposedSupport transposed{ends.get(), to_rows.get(), to_weights.get(),
                                       wanted.key ? to_grads.get() : nullptr};
    expect_success(
        launch_transpose_support(kDtype<Stored>, problem, support, entry_grads.get(), transposed, nullptr));
    const Buffer<Stored> to_key(wanted.key ? key_.size() : 0);
    const Buffer<Stored> to_value(wanted.value ? value_.size() : 0);
    expect_success(launch_attention_backward_keys(normalizer, kDtype<Stored>, problem, operands, support,
                                                  transposed, wanted.key ? means.get() : nullptr,
                                                  {wanted.key ? to_key.get() : nullptr, problem.key,
                                                   wanted.value ? to_value.get() : nullptr, problem.value},
                                                  nullptr));
    key_grad = to_key.values();
    value_grad = to_value.values();
  }

  Buffer<Stored> query_;
  Buffer<Stored> key_;
  Buffer<Stored> value_;
  Buffer<Stored> result_grad_;
  Buffer<int64_t> lengths_;
  Buffer<int64_t> offsets_;
  Buffer<int64_t> indices_;
  Buffer<Sum> bias_;
};

}  // namespace giantrabbit::ops::cuda
