// Exact sparse attention on well-behaved data: every shape, layout, dtype and mask at and around the sizes of
// its blocks (64 keys, 256 seed keys, 96 queries, 128 keys at least) against the definition in double; bits
// repeat for any number of threads and whatever was called before. See Note [Tolerances of exact attention].
#include <gtest/gtest.h>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "tests/ops/exact_attention_checks.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::ExactCase;
using test::expect_matches_definition;
using test::Inputs;
using test::random_inputs;
using test::Sizes;
using test_support::tensors_equal;

const std::vector<Normalizer>& sparse_normalizers() {
  static const std::vector<Normalizer> both = {Normalizer::sparsemax, Normalizer::entmax15};
  return both;
}

void expect_all(const Inputs& in, const SparseMask& mask, const std::string& label) {
  for (const Normalizer normalizer : sparse_normalizers()) {
    expect_matches_definition({in, mask, normalizer}, label);
  }
}

std::string size_label(const Sizes& sizes) {
  return std::to_string(sizes.queries) + "x" + std::to_string(sizes.keys) + "x" + std::to_string(sizes.width);
}

SparseMask causal_mask() {
  SparseMask mask;
  mask.causal = true;
  return mask;
}

TEST(ExactAttentionTest, Lengths) {
  for (const int64_t length : {1, 2, 63, 127, 128, 129, 191, 192, 193, 255, 256, 257, 300, 1000}) {
    const Sizes sizes{1, 1, 1, length, length, 64, 64};
    const Inputs in = random_inputs(sizes, at::kFloat);
    expect_all(in, {}, size_label(sizes));
    expect_all(in, causal_mask(), size_label(sizes) + " causal");
  }
}

TEST(ExactAttentionTest, CrossAttention) {
  for (const auto& [queries, keys] : std::vector<std::pair<int64_t, int64_t>>{{1, 128},
                                                                              {1, 1000},
                                                                              {5, 300},
                                                                              {95, 129},
                                                                              {96, 256},
                                                                              {97, 257},
                                                                              {300, 128},
                                                                              {200, 777},
                                                                              {3, 5000}}) {
    const Sizes sizes{1, 2, 2, queries, keys, 32, 48};
    const Inputs in = random_inputs(sizes, at::kFloat);
    expect_all(in, {}, size_label(sizes));
    expect_all(in, causal_mask(), size_label(sizes) + " causal");
  }
}

TEST(ExactAttentionTest, Widths) {
  for (const auto& [width, value_width] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {2, 7}, {3, 16}, {13, 10}, {16, 3}, {17, 33}, {40, 65}, {64, 5}, {100, 130}, {260, 64}}) {
    const Sizes sizes{1, 2, 1, 70, 200, width, value_width};
    expect_all(random_inputs(sizes, at::kFloat), causal_mask(), size_label(sizes));
  }
}

TEST(ExactAttentionTest, EveryMask) {
  for (const auto& [queries, keys] :
       std::vector<std::pair<int64_t, int64_t>>{{130, 130}, {70, 300}, {300, 140}, {100, 530}}) {
    const Sizes sizes{2, 4, 2, queries, keys, 16, 16};
    const Inputs in = random_inputs(sizes, at::kFloat);
    for (const auto& [name, mask] : test::every_mask(sizes))
      expect_all(in, mask, name + " " + size_label(sizes));
  }
}

TEST(ExactAttentionTest, WindowsAndLengthsAroundBlocks) {
  const Sizes sizes{5, 1, 1, 200, 330, 16, 16};
  const Inputs in = random_inputs(sizes, at::kFloat);
  for (const int64_t window : {1, 2, 63, 64, 65, 96, 129, 1000}) {
    for (const bool causal : {false, true}) {
      SparseMask mask;
      mask.window = window;
      mask.causal = causal;
      if (window % 2 == 0) mask.key_lengths = torch::tensor({0, 1, 64, 129, 330}, torch::kLong);
      expect_all(in, mask, "window " + std::to_string(window));
    }
  }
}

// Rows whose keys lie outside the first pass: they have no bound when the others already do.
TEST(ExactAttentionTest, RowsThatSeeOnlyEarlyKeys) {
  const Sizes sizes{1, 1, 1, 100, 900, 16, 16};
  at::Tensor permitted = torch::zeros({sizes.queries, sizes.keys}, torch::kBool);
  for (int64_t i = 0; i < sizes.queries; ++i) {
    if (i % 4 == 0) permitted[i].narrow(0, 0, 40 + i).fill_(true);
    if (i % 4 == 1) permitted[i][i] = true;
    if (i % 4 == 2) permitted[i].fill_(true);
  }
  expect_all(random_inputs(sizes, at::kFloat), SparseMask::from_dense(permitted), "early keys");
}

TEST(ExactAttentionTest, GroupedHeads) {
  for (const int64_t key_heads : {1, 2, 6}) {
    const Sizes sizes{2, 6, key_heads, 130, 150, 16, 16};
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      expect_all(random_inputs(sizes, dtype), causal_mask(), std::to_string(key_heads) + " key heads");
    }
  }
}

TEST(ExactAttentionTest, SixteenBitTypes) {
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    for (const int64_t width : {16, 20}) {
      const Sizes sizes{2, 2, 2, 140, 300, width, 16};
      expect_all(random_inputs(sizes, dtype), {}, c10::toString(dtype));
      expect_all(random_inputs(sizes, dtype), causal_mask(), c10::toString(dtype));
    }
  }
}

TEST(ExactAttentionTest, ScoreScales) {
  const Sizes sizes{1, 2, 2, 200, 400, 32, 32};
  for (const double factor : {0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0}) {
    Inputs in = random_inputs(sizes, at::kFloat);
    in.query *= factor;
    expect_all(in, {}, "scores times " + std::to_string(factor));
  }
  for (const double scale : {-1.0, -0.01, 0.0, 1e-6, 2.0}) {
    for (const Normalizer normalizer : sparse_normalizers()) {
      expect_matches_definition({random_inputs(sizes, at::kFloat), {}, normalizer, scale},
                                "scale " + std::to_string(scale));
    }
  }
}

// Layouts change neither the result's bits nor the gradients'.
struct LaidOut {
  at::Tensor output;
  std::array<at::Tensor, 3> gradients;
};

LaidOut run_laid_out(const Inputs& in, const at::Tensor& grad, Normalizer normalizer,
                     const SparseMask& mask = causal_mask()) {
  const AttentionCall call = ExactCase{in, mask, normalizer}.call();
  const auto [output, saved] = call_attention_forward(call);
  const auto gradients = call_attention_backward(grad, call, saved, {true, true, true, false});
  return {output, {std::get<0>(gradients), std::get<1>(gradients), std::get<2>(gradients)}};
}

TEST(ExactAttentionTest, LayoutsGiveEqualBits) {
  const Sizes sizes{2, 3, 3, 150, 150, 32, 32};
  const Inputs in = random_inputs(sizes, at::kFloat);
  const auto heads_last = [](const at::Tensor& x) { return x.transpose(1, 2).contiguous().transpose(1, 2); };
  const auto turned = [](const at::Tensor& x) { return x.transpose(2, 3).contiguous().transpose(2, 3); };
  const auto every_other = [](const at::Tensor& x) {
    return x.repeat_interleave(2, 3).slice(3, 0, std::nullopt, 2);
  };
  const auto inside = [](const at::Tensor& x) {
    return at::constant_pad_nd(x, {3, 2, 1, 4}).slice(2, 1, 151).slice(3, 3, 35);
  };
  const at::Tensor packed = torch::stack({in.query, in.key, in.value}, 3).transpose(1, 2).contiguous();
  const auto part = [&](int64_t i) { return packed.select(3, i).transpose(1, 2); };
  const auto all = [&](const auto& layout) -> Inputs {
    return {layout(in.query), layout(in.key), layout(in.value)};
  };
  const std::vector<std::pair<std::string, Inputs>> layouts = {
      {"heads last", all(heads_last)},
      {"columns first", all(turned)},
      {"every other", all(every_other)},
      {"inside a larger tensor", all(inside)},
      {"one packed tensor", {part(0), part(1), part(2)}}};
  for (const Normalizer normalizer : sparse_normalizers()) {
    const at::Tensor grad = test::random_output_grad({in});
    const LaidOut expected = run_laid_out(in, grad, normalizer);
    for (const auto& [name, inputs] : layouts) {
      for (const at::Tensor& incoming : {grad, turned(grad), heads_last(grad)}) {
        const LaidOut actual = run_laid_out(inputs, incoming, normalizer);
        EXPECT_TRUE(tensors_equal(actual.output, expected.output)) << name;
        for (size_t i = 0; i < 3; ++i) {
          EXPECT_TRUE(tensors_equal(actual.gradients[i], expected.gradients[i])) << name << ' ' << i;
        }
      }
    }
  }
}

// The same numbers with the dimensions in another order in memory; one of size 1 gets the stride of its
// place.
at::Tensor in_memory_order(const at::Tensor& x, const std::vector<int64_t>& order) {
  std::vector<int64_t> sizes;
  std::vector<int64_t> places(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    sizes.push_back(x.size(order[i]));
    places[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  }
  return at::empty(sizes, x.options()).permute(places).copy_(x);
}

// Grouped heads with one query, one key or one sequence: strides of dimensions of size 1 mean nothing. Widths
// that are no multiple of 16 are padded.
TEST(ExactAttentionTest, MemoryOrdersOfLengthOneGiveEqualBits) {
  for (const Sizes& sizes : std::vector<Sizes>{{1, 2, 1, 1, 128, 16, 16},
                                               {2, 4, 2, 1, 130, 16, 32},
                                               {2, 2, 1, 1, 130, 20, 5},
                                               {1, 4, 2, 3, 128, 5, 16},
                                               {1, 2, 1, 1, 1, 8, 8},
                                               {2, 2, 2, 3, 1, 8, 8}}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const Inputs in = random_inputs(sizes, dtype);
      const at::Tensor grad = test::random_output_grad({in});
      const LaidOut expected = run_laid_out(in, grad, Normalizer::sparsemax);
      std::vector<int64_t> order{0, 1, 2, 3};
      do {
        const auto turned = [&](const at::Tensor& x) { return in_memory_order(x, order); };
        const Inputs inputs{turned(in.query), turned(in.key), turned(in.value)};
        const LaidOut actual = run_laid_out(inputs, turned(grad), Normalizer::sparsemax);
        SCOPED_TRACE(size_label(sizes) + " order " + std::to_string(order[0]) + std::to_string(order[1]) +
                     std::to_string(order[2]) + std::to_string(order[3]));
        EXPECT_TRUE(tensors_equal(actual.output, expected.output));
        for (size_t i = 0; i < 3; ++i) {
          EXPECT_TRUE(tensors_equal(actual.gradients[i], expected.gradients[i])) << i;
        }
      } while (std::next_permutation(order.begin(), order.end()));
    }
  }
}

TEST(ExactAttentionTest, ExpandedInputsEqualTheirCopies) {
  const Inputs in = random_inputs({2, 4, 4, 130, 130, 16, 16}, at::kFloat);
  const Inputs shared{in.query.narrow(1, 0, 1).expand_as(in.query), in.key.narrow(0, 0, 1).expand_as(in.key),
                      in.value.narrow(2, 0, 1).expand_as(in.value)};
  const Inputs copied{shared.query.contiguous(), shared.key.contiguous(), shared.value.contiguous()};
  const at::Tensor grad = torch::ones({1, 1, 1, 1}).expand({2, 4, 130, 16});
  const LaidOut actual = run_laid_out(shared, grad, Normalizer::sparsemax);
  const LaidOut expected = run_laid_out(copied, grad.contiguous(), Normalizer::sparsemax);
  EXPECT_TRUE(tensors_equal(actual.output, expected.output));
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(tensors_equal(actual.gradients[i], expected.gradients[i])) << i;
}

TEST(ExactAttentionTest, ThreadsRepetitionAndEarlierCallsChangeNoBit) {
  const int before = at::get_num_threads();
  for (const Sizes& sizes : std::vector<Sizes>{{1, 1, 1, 500, 500, 16, 16}, {3, 4, 2, 150, 200, 16, 16}}) {
    for (const double factor : {0.05, 0.3, 2.0}) {  // wide, mixed and narrow blocks
      Inputs in = random_inputs(sizes, at::kFloat);
      in.query *= factor;
      in.query.narrow(2, 0, sizes.queries / 2) *= 0.1;
      const at::Tensor grad = test::random_output_grad({in});
      for (const Normalizer normalizer : sparse_normalizers()) {
        at::set_num_threads(1);
        const LaidOut expected = run_laid_out(in, grad, normalizer);
        for (const int threads : {1, 2, 3, 5}) {
          at::set_num_threads(threads);
          Inputs other = random_inputs({1, 2, 1, 77 * threads, 700, 48, 16}, at::kFloat);
          other.query *= static_cast<double>(threads - 2);
          test::attend(other, causal_mask(), normalizer);
          const LaidOut actual = run_laid_out(in, grad, normalizer);
          EXPECT_TRUE(tensors_equal(actual.output, expected.output)) << factor << ' ' << threads;
          for (size_t i = 0; i < 3; ++i) {
            EXPECT_TRUE(tensors_equal(actual.gradients[i], expected.gradients[i]))
                << factor << ' ' << threads;
          }
        }
      }
    }
  }
  at::set_num_threads(before);
}

// Supports of a seventh of all keys go through the backward pass in tiles, rows between those of other heads
// are packed for it, and threads that do not divide the heads cut them in other places.
TEST(ExactAttentionTest, LongSupportsInTiles) {
  Inputs in = random_inputs({1, 6, 3, 150, 2100, 16, 16}, at::kFloat);
  for (at::Tensor* rows : {&in.query, &in.key, &in.value}) {
    *rows = rows->transpose(1, 2).contiguous().transpose(1, 2);
  }
  const at::Tensor query = in.query;
  const int before = at::get_num_threads();
  for (const Normalizer normalizer : sparse_normalizers()) {
    in.query = query * (normalizer == Normalizer::sparsemax ? 0.01 : 0.2);
    const ExactCase of{in, {}, normalizer};
    const at::Tensor entries = test::kernel_support(of.call()).saved.at(1);
    EXPECT_GT(entries.numel(), 6 * 150 * 200);
    const at::Tensor grad = test::random_output_grad(of);
    at::set_num_threads(1);
    expect_matches_definition(of, "long supports");
    const LaidOut expected = run_laid_out(in, grad, normalizer, {});
    for (const int threads : {2, 5}) {
      at::set_num_threads(threads);
      const LaidOut actual = run_laid_out(in, grad, normalizer, {});
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_TRUE(tensors_equal(actual.gradients[i], expected.gradients[i])) << i << ' ' << threads;
      }
    }
  }
  at::set_num_threads(before);
}

}  // namespace
}  // namespace giantrabbit::ops
