// The drop-in forms: LibTorch's argument names and mask rules. The rules are compared through the softmax
// form of the same code path, by building what LibTorch would see; the weights through the reference in
// double.
#include "ops/sparsemax_attention.h"

#include <gtest/gtest.h>

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include "ops/reference/sparse_mask_attention.h"
#include "tests/ops/attention_cases.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::Inputs;
using test::random_inputs;
using test_support::tensors_close;
using test_support::tensors_equal;

// LibTorch's is_causal: ones on and below the diagonal that starts at the first key.
at::Tensor first_key_triangle(int64_t queries, int64_t keys) {
  return torch::ones({queries, keys}, torch::kBool).tril();
}

TEST(SparsemaxAttentionTest, Smoke) {
  const Inputs in = random_inputs({});
  const at::Tensor expected =
      reference::sparse_mask_attention(in.query, in.key, in.value, {}, Normalizer::sparsemax);
  EXPECT_TRUE(tensors_close(sparsemax_attention(in.query, in.key, in.value), expected, 1e-12));
  const at::Tensor entmax =
      reference::sparse_mask_attention(in.query, in.key, in.value, {}, Normalizer::entmax15);
  EXPECT_TRUE(tensors_close(entmax15_attention(in.query, in.key, in.value), entmax, 1e-9));
}

TEST(SparsemaxAttentionTest, CausalAlignsToTheFirstKeyAsLibTorchDoes) {
  for (const auto& [queries, keys] :
       std::vector<std::pair<int64_t, int64_t>>{{5, 5}, {3, 7}, {7, 3}, {1, 4}, {4, 1}}) {
    const Inputs in = random_inputs({2, 2, 2, queries, keys, 4, 4});
    // LibTorch's own mask: the weights of equal scores say which keys a query sees.
    const at::Tensor flat = torch::zeros_like(in.query);
    const at::Tensor marks = torch::eye(keys, torch::kDouble).expand({2, 2, keys, keys});
    const at::Tensor seen = at::scaled_dot_product_attention(flat, in.key, marks, {}, 0.0, true).gt(0);
    EXPECT_TRUE(tensors_equal(sparsemax_attention(flat, in.key, marks, {}, true).gt(0), seen));
    const auto mask = SparseMask::from_dense(first_key_triangle(queries, keys));
    const at::Tensor expected =
        reference::sparse_mask_attention(in.query, in.key, in.value, mask, Normalizer::sparsemax);
    EXPECT_TRUE(tensors_close(sparsemax_attention(in.query, in.key, in.value, {}, true), expected, 1e-12))
        << queries << 'x' << keys;
  }
}

TEST(SparsemaxAttentionTest, BoolMasksBroadcast) {
  const Inputs in = random_inputs({2, 3, 3, 5, 6, 4, 4});
  for (const auto& shape :
       std::vector<std::vector<int64_t>>{{5, 6}, {1, 6}, {5, 1}, {2, 1, 5, 6}, {1, 3, 1, 6}, {6}}) {
    const at::Tensor permitted = test::random_permitted(shape);
    const at::Tensor full = permitted.expand({2, 3, 5, 6});
    const at::Tensor expected = reference::sparse_mask_attention(
        in.query, in.key, in.value, SparseMask::from_dense(full), Normalizer::sparsemax);
    EXPECT_TRUE(tensors_close(sparsemax_attention(in.query, in.key, in.value, permitted), expected, 1e-12))
        << permitted.sizes();
  }
}

TEST(SparsemaxAttentionTest, FloatingMasksAddToTheScaledScores) {
  const Inputs in = random_inputs({2, 2, 2, 4, 6, 3, 5});
  at::Tensor added = torch::randn({2, 1, 4, 6}, torch::kDouble);
  added[0][0][1].fill_(-std::numeric_limits<double>::infinity());
  added[1][0][2][3] = -std::numeric_limits<double>::infinity();
  const at::Tensor expected =
      reference::sparse_mask_attention(in.query, in.key, in.value, {}, Normalizer::entmax15, 0.7, added);
  const at::Tensor actual = entmax15_attention(in.query, in.key, in.value, added, false, 0.7);
  EXPECT_TRUE(tensors_close(actual, expected, 1e-9));
  EXPECT_EQ(actual[0].select(1, 1).abs().max().item<double>(), 0.0);
}

TEST(SparsemaxAttentionTest, GradcheckIncludesTheMask) {
  const Inputs in = random_inputs({1, 2, 2, 3, 4, 3, 2});
  for (const auto& shape : std::vector<std::vector<int64_t>>{{3, 4}, {1, 2, 3, 4}, {4}, {1, 2, 1, 1}}) {
    const at::Tensor added = 0.3 * torch::randn(shape, torch::kDouble);
    const auto attend = [](const std::vector<at::Tensor>& x) {
      return sparsemax_attention(x[0], x[1], x[2], x[3], false, 0.3);
    };
    EXPECT_TRUE(
        test_support::gradcheck(attend, {in.query.clone().requires_grad_(), in.key.clone().requires_grad_(),
                                         in.value.clone().requires_grad_(), added.requires_grad_()}))
        << added.sizes();
  }
}

TEST(SparsemaxAttentionTest, CausalGradcheckWithMoreQueriesThanKeys) {
  const Inputs in = random_inputs({1, 1, 1, 5, 3, 3, 2});
  const auto attend = [](const std::vector<at::Tensor>& x) {
    return sparsemax_attention(x[0], x[1], x[2], {}, true, 0.3);
  };
  EXPECT_TRUE(test_support::gradcheck(
      attend, {in.query.requires_grad_(), in.key.requires_grad_(), in.value.requires_grad_()}));
}

TEST(SparsemaxAttentionTest, TwoAndThreeDimensions) {
  const Inputs in = random_inputs({1, 2, 2, 4, 5, 3, 3});
  const at::Tensor expected = sparsemax_attention(in.query, in.key, in.value);
  EXPECT_TRUE(tensors_equal(sparsemax_attention(in.query[0], in.key[0], in.value[0]), expected[0]));
  EXPECT_TRUE(
      tensors_equal(sparsemax_attention(in.query[0][1], in.key[0][1], in.value[0][1]), expected[0][1]));
}

TEST(SparsemaxAttentionTest, GroupedHeadsNeedTheirFlag) {
  const Inputs in = random_inputs({2, 4, 2, 3, 5, 4, 4});
  const std::string text = test::message_of([&] { sparsemax_attention(in.query, in.key, in.value); });
  EXPECT_NE(text.find("sparsemax_attention"), std::string::npos) << text;
  EXPECT_NE(text.find("enable_gqa"), std::string::npos) << text;
  const at::Tensor expected =
      sparsemax_attention(in.query, in.key.repeat_interleave(2, 1), in.value.repeat_interleave(2, 1));
  const at::Tensor actual =
      sparsemax_attention(in.query, in.key, in.value, {}, false, {}, /*enable_gqa=*/true);
  EXPECT_TRUE(tensors_equal(actual, expected));
}

TEST(SparsemaxAttentionTest, RefusalsNameTheOperatorAndTheArgumentThatWereGiven) {
  const Inputs in = random_inputs({2, 4, 2, 5, 5, 4, 4});
  const at::Tensor three = in.key.repeat({1, 2, 1, 1}).narrow(1, 0, 3);
  const auto refusal = [&](const Inputs& of, const std::optional<at::Tensor>& mask, bool causal = false) {
    return test::message_of(
        [&] { sparsemax_attention(of.query, of.key, of.value, mask, causal, {}, /*enable_gqa=*/true); });
  };
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {refusal(in, torch::ones({5, 5}, torch::kLong)), "attn_mask needs Bool or a floating dtype"},
           {refusal(in, torch::ones({4, 5}, torch::kBool)), "of shape [4, 5]"},
           {refusal(in, torch::ones({3, 1, 5, 5})), "of shape [3, 1, 5, 5]"},
           {refusal({in.query, three, three}, {}), "multiple"},
           {refusal({in.query, in.key, in.value.narrow(2, 0, 4)}, {}), "equal lengths"},
           {refusal({in.query, in.key, in.value.narrow(2, 0, 4)}, {}, true), "equal lengths"},
           {refusal({in.query.narrow(3, 0, 3), in.key, in.value}, {}), "equal widths"},
           {refusal({in.query, in.key, in.value.to(at::kFloat)}, {}), "one dtype"}}) {
    EXPECT_EQ(text.rfind("sparsemax_attention: ", 0), 0U) << text;
    EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
}

TEST(SparsemaxAttentionTest, AutocastMakesDtypesEqual) {
  const Inputs in = random_inputs({1, 2, 2, 5, 7, 8, 8}, at::kFloat);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const at::Tensor result = sparsemax_attention(in.query, in.key.to(at::kBFloat16), in.value);
  const std::string text = test::message_of([&] { sparsemax_attention(in.query, in.key, in.query); });
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_EQ(result.scalar_type(), at::kBFloat16);
  EXPECT_EQ(text.rfind("sparsemax_attention: ", 0), 0U) << text;
}

TEST(SparsemaxAttentionTest, RefusesBothMaskAndCausal) {
  const Inputs in = random_inputs({});
  EXPECT_NE(test::message_of([&] {
              entmax15_attention(in.query, in.key, in.value, torch::ones({5, 5}, torch::kBool), true);
            }).find("entmax15_attention"),
            std::string::npos);
  const std::string text = test::message_of([&] {
    sparsemax_attention(in.query, in.key, in.value, torch::ones({4, 5}, torch::kBool));
  });
  EXPECT_NE(text.find("[4, 5]"), std::string::npos) << text;
  EXPECT_THROW(sparsemax_attention(in.query, in.key, in.value, torch::ones({5, 5}, torch::kLong)),
               c10::Error);
}

}  // namespace
}  // namespace giantrabbit::ops
