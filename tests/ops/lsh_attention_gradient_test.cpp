// Gradients of lsh_attention: central differences in double with the buckets held, the reference's gradients,
// and the contract (only what is needed, once, zeros for padding, memory order of the inputs).
#include <gtest/gtest.h>

#include <torch/torch.h>

#include "ops/lsh_call.h"
#include "ops/reference/lsh_attention.h"
#include "tests/ops/lsh_cases.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::every_lsh_pattern;
using test::every_normalizer;
using test::lsh_inputs;
using test::LshInputs;
using test::LshSizes;
using test_support::tensors_close;
using test_support::tensors_equal;

std::string lsh_case(const std::string& pattern, Normalizer normalizer) {
  return pattern + " " + std::string(normalizer_name(normalizer)) + ", seed " + std::to_string(test::kSeed);
}

template <class Attention>
std::vector<at::Tensor> lsh_gradients(const LshInputs& in, const at::Tensor& grad,
                                      const Attention& attention) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : {in.query, in.key, in.value})
    leaves.push_back(input.detach().requires_grad_());
  const at::Tensor output = attention(leaves[0], leaves[1], leaves[2]);
  return torch::autograd::grad({output}, leaves, {grad.to(output.scalar_type())});
}

std::vector<at::Tensor> ours(const LshInputs& in, const LshPattern& pattern, Normalizer normalizer,
                             const at::Tensor& grad) {
  return lsh_gradients(in, grad, [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    return lsh_attention(q, k, v, in.buckets, pattern, normalizer);
  });
}

std::vector<at::Tensor> reference_gradients(const LshInputs& in, const LshPattern& pattern,
                                            Normalizer normalizer, const at::Tensor& grad) {
  return lsh_gradients(in.to(at::kDouble), grad,
                       [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
                         return reference::lsh_attention(q, k, v, in.buckets, pattern, normalizer);
                       });
}

at::Tensor random_lsh_grad(const LshInputs& in) {
  torch::manual_seed(test::kSeed + 3);
  return torch::randn_like(in.value, torch::kDouble);
}

TEST(LshAttentionGradientTest, Gradcheck) {
  const LshSizes sizes{1, 2, 7, 3, 2, 2};
  for (const auto& [name, pattern] : every_lsh_pattern(sizes.batch, sizes.length)) {
    for (const Normalizer normalizer : every_normalizer()) {
      const LshInputs in = lsh_inputs(sizes);
      const auto attend = [&, &rules = pattern](const std::vector<at::Tensor>& x) {
        return lsh_attention(x[0], x[1], x[2], in.buckets, rules, normalizer, 0.4);
      };
      EXPECT_TRUE(test_support::gradcheck(
          attend, {in.query.requires_grad_(), in.key.requires_grad_(), in.value.requires_grad_()}))
          << lsh_case(name, normalizer);
    }
  }
}

TEST(LshAttentionGradientTest, GradcheckOfSharedKeys) {
  for (const int64_t rounds : {1, 2, 4}) {
    const LshInputs in = lsh_inputs({1, 1, 6, 3, 2, rounds});
    for (const Normalizer normalizer : every_normalizer()) {
      const auto attend = [&](const std::vector<at::Tensor>& x) {
        return lsh_attention(x[0], lsh_shared_keys(x[0]), x[1], in.buckets, {2, 1, 0, true, true, {}},
                             normalizer);
      };
      EXPECT_TRUE(test_support::gradcheck(attend, {in.query.requires_grad_(), in.value.requires_grad_()}))
          << lsh_case(std::to_string(rounds) + " rounds", normalizer);
    }
  }
}

// Away from thresholds double decides. fp32: rounding of scores of size 5 moves a gradient by some 1e-6 of
// its size, and at most 4 * 37 queries add up in a key: 1e-4 has a margin and fails on any wrong term.
TEST(LshAttentionGradientTest, MatchesReference) {
  for (const auto& [length, rounds] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {13, 2}, {37, 4}}) {
    const LshInputs in = lsh_inputs({2, 2, length, 5, 3, rounds});
    const at::Tensor grad = random_lsh_grad(in);
    for (const auto& [name, pattern] : every_lsh_pattern(2, length)) {
      for (const Normalizer normalizer : every_normalizer()) {
        const auto expected = reference_gradients(in, pattern, normalizer, grad);
        const auto in_double = ours(in, pattern, normalizer, grad);
        const auto in_float = ours(in.to(at::kFloat), pattern, normalizer, grad);
        for (size_t i = 0; i < 3; ++i) {
          EXPECT_TRUE(tensors_close(in_double[i], expected[i], 1e-11)) << lsh_case(name, normalizer);
          EXPECT_TRUE(tensors_close(in_float[i].to(at::kDouble), expected[i], 1e-4))
              << lsh_case(name, normalizer);
        }
      }
    }
  }
}

TEST(LshAttentionGradientTest, WidthsOfWholeVectorsAndLongSequences) {
  const LshInputs in = lsh_inputs({1, 1, 600, 32, 48, 2});
  const LshPattern pattern{64, 1, 1, true, true, {}};
  const at::Tensor grad = random_lsh_grad(in);
  for (const Normalizer normalizer : every_normalizer()) {
    const auto expected = reference_gradients(in, pattern, normalizer, grad);
    const auto actual = ours(in, pattern, normalizer, grad);
    for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(tensors_close(actual[i], expected[i], 1e-11));
  }
}

TEST(LshAttentionGradientTest, OnlyNeededGradientsAndNothingSaved) {
  const LshInputs in = lsh_inputs({1, 2, 20, 4, 4, 2}, at::kFloat);
  const at::Tensor grad = torch::ones_like(in.value);
  for (const Normalizer normalizer : every_normalizer()) {
    const LshCall call{in.query, in.key, in.value, in.buckets, normalizer, {}, {4, 1, 0, true, true, {}}};
    const auto list = [&](at::TensorList saved, LshNeeded needed) {
      const auto [query, key, value] = call_lsh_backward(grad, call, saved, needed);
      return std::vector<at::Tensor>{query, key, value};
    };
    const auto full = list(std::get<1>(call_lsh_forward(call)), {true, true, true});
    for (size_t wanted = 0; wanted < 3; ++wanted) {
      LshNeeded needed{};
      needed[wanted] = true;
      const auto some = list({}, needed);
      for (size_t i = 0; i < 3; ++i) EXPECT_EQ(some[i].defined(), i == wanted);
      EXPECT_TRUE(tensors_equal(some[wanted], full[wanted]));
    }
  }
}

TEST(LshAttentionGradientTest, SecondDerivativeThrows) {
  const LshInputs in = lsh_inputs({1, 1, 6, 2, 2, 1});
  const at::Tensor query = in.query.detach().requires_grad_();
  const at::Tensor output = lsh_attention(query, in.key, in.value, in.buckets, {2, 1, 0, true, true, {}});
  const at::Tensor first = torch::autograd::grad({output.sum()}, {query}, {}, true, /*create_graph=*/true)[0];
  const std::string text = test::message_of([&] { torch::autograd::grad({first.sum()}, {query}); });
  EXPECT_NE(text.find("lsh_attention_backward"), std::string::npos) << text;
}

TEST(LshAttentionGradientTest, PaddingHasNone) {
  const LshInputs in = lsh_inputs({2, 2, 30, 4, 4, 2}, at::kFloat);
  const LshPattern pattern{4, 1, 1, false, true, test::lsh_valid(2, 30)};
  const at::Tensor padding = pattern.valid->logical_not().view({2, 1, 30, 1});
  for (const Normalizer normalizer : every_normalizer()) {
    for (const at::Tensor& gradient : ours(in, pattern, normalizer, random_lsh_grad(in))) {
      EXPECT_EQ((gradient * padding).abs().sum().item<double>(), 0.0);
      EXPECT_GT(gradient.abs().sum().item<double>(), 0.0);
    }
  }
}

TEST(LshAttentionGradientTest, StridedInputsAndGradients) {
  const LshInputs in = lsh_inputs({2, 3, 20, 8, 8, 2}, at::kFloat);
  const LshPattern pattern{4, 1, 0, true, true, {}};
  const at::Tensor grad = random_lsh_grad(in).to(at::kFloat);
  const auto transposed = [](const at::Tensor& x) { return x.transpose(1, 2).contiguous().transpose(1, 2); };
  for (const Normalizer normalizer : every_normalizer()) {
    const auto expected = ours(in, pattern, normalizer, grad);
    const LshInputs strided{transposed(in.query), transposed(in.key), transposed(in.value),
                            in.buckets.transpose(2, 3).contiguous().transpose(2, 3)};
    const auto actual = ours(strided, pattern, normalizer, transposed(grad));
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(tensors_equal(actual[i], expected[i]));
      EXPECT_TRUE(actual[i].transpose(1, 2).is_contiguous()) << "gradients follow their input's memory order";
    }
    const at::Tensor constant = torch::ones({1, 1, 1, 1}).expand_as(grad);
    EXPECT_TRUE(tensors_equal(ours(in, pattern, normalizer, constant)[1],
                              ours(in, pattern, normalizer, constant.contiguous())[1]));
  }
}

}  // namespace
}  // namespace giantrabbit::ops
