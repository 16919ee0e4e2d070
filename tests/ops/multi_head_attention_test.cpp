// Self-attention, multi-head and masked attention against the golden cases of chapter3_golden.json, whose
// values come from the definitions in double, and the rules that the weights have to keep.
#include "ops/multi_head_attention.h"

#include <gtest/gtest.h>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/seeded.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using nlohmann::json;
using test_support::golden_tensor;
using test_support::gradcheck;
using test_support::tensors_close;
using test_support::tensors_equal;

// The file's own tolerances: rounding of the definition in each format.
constexpr double kDoubleTolerance = 1e-12;
constexpr double kFloatTolerance = 2e-6;

class MultiHeadAttentionTest : public test_support::Seeded<::testing::Test> {};

std::vector<json> golden_cases(const std::string& function) {
  static const json file = test_support::load_golden("chapter3_golden.json");
  std::vector<json> cases;
  for (const json& item : file["cases"]) {
    if (item["function"] == function) cases.push_back(item);
  }
  return cases;
}

SparseMask golden_mask(const json& inputs, const char* field) {
  return inputs.contains(field) ? SparseMask::from_dense(golden_tensor(inputs[field]).gt(0)) : SparseMask{};
}

// Scores of thousands, where a rounded fp32 product is far from the definition's, are for double only.
std::vector<std::pair<at::ScalarType, double>> precisions(const json& item) {
  if (item["id"] == "E2_large_scores") return {{at::kDouble, kDoubleTolerance}};
  return {{at::kDouble, kDoubleTolerance}, {at::kFloat, kFloatTolerance}};
}

void expect_golden(const WeightedAttention& actual, const json& output, const json& weights,
                   double tolerance) {
  const auto dtype = actual.output.scalar_type();
  EXPECT_TRUE(tensors_close(actual.output, golden_tensor(output, dtype), tolerance));
  EXPECT_TRUE(tensors_close(actual.weights, golden_tensor(weights, dtype), tolerance));
}

TEST_F(MultiHeadAttentionTest, SelfAttentionMatchesGolden) {
  const std::vector<json> cases = golden_cases("self_attention");
  EXPECT_EQ(cases.size(), 3U);
  for (const json& item : cases) {
    SCOPED_TRACE(item["id"].get<std::string>());
    const json& inputs = item["inputs"];
    for (const auto& [dtype, tolerance] : precisions(item)) {
      const WeightedAttention actual =
          self_attention(golden_tensor(inputs["X"], dtype).unsqueeze(0), golden_tensor(inputs["W_Q"], dtype),
                         golden_tensor(inputs["W_K"], dtype), golden_tensor(inputs["W_V"], dtype),
                         golden_mask(inputs, "mask"));
      expect_golden({actual.output[0], actual.weights[0]}, item["expected"]["output"],
                    item["expected"]["weights"], tolerance);
    }
  }
}

TEST_F(MultiHeadAttentionTest, MultiHeadAttentionMatchesGolden) {
  const std::vector<json> cases = golden_cases("multi_head_attention");
  EXPECT_EQ(cases.size(), 5U);
  for (const json& item : cases) {
    SCOPED_TRACE(item["id"].get<std::string>());
    const json& inputs = item["inputs"];
    const auto heads = item["params"]["n_heads"].get<int64_t>();
    const Normalizer normalizer = parse_normalizer(item["params"]["normaliser"].get<std::string>());
    for (const auto& [dtype, tolerance] : precisions(item)) {
      const at::Tensor x = golden_tensor(inputs["X"], dtype).unsqueeze(0);
      MultiHeadMatrices matrices{golden_tensor(inputs["W_Q"], dtype), golden_tensor(inputs["W_K"], dtype),
                                 golden_tensor(inputs["W_V"], dtype), golden_tensor(inputs["W_O"], dtype)};
      const SparseMask mask = golden_mask(inputs, "mask");
      const WeightedAttention actual = multi_head_attention(x, matrices, heads, mask, normalizer);
      expect_golden({actual.output[0], actual.weights[0]}, item["expected"]["output"],
                    item["expected"]["weights_per_head"], tolerance);
      matrices.out = at::eye(matrices.out.size(0), matrices.out.options());
      const WeightedAttention joined = multi_head_attention(x, matrices, heads, mask, normalizer);
      expect_golden({joined.output[0], joined.weights[0]}, item["expected"]["concatenated"],
                    item["expected"]["weights_per_head"], tolerance);
    }
  }
}

// "attention" without a mask and "sparse_attention" with one, in both normalisers.
TEST_F(MultiHeadAttentionTest, MaskedAttentionMatchesGoldenAndMasksBeforeTheNormaliser) {
  std::vector<json> cases = golden_cases("sparse_attention");
  EXPECT_EQ(cases.size(), 7U);
  for (const json& item : golden_cases("attention")) cases.push_back(item);
  for (const json& item : cases) {
    SCOPED_TRACE(item["id"].get<std::string>());
    const json& inputs = item["inputs"];
    const SparseMask mask = golden_mask(inputs, "sparsity_mask");
    for (const auto& [dtype, tolerance] : precisions(item)) {
      const auto head = [&](const char* name) {
        return golden_tensor(inputs[name], dtype).unsqueeze(0).unsqueeze(0);
      };
      const auto check = [&](Normalizer normalizer, const json& expected) {
        const WeightedAttention actual = masked_attention(head("Q"), head("K"), head("V"), mask, normalizer);
        expect_golden({actual.output[0][0], actual.weights[0][0]}, expected["output"], expected["weights"],
                      tolerance);
        if (!inputs.contains("sparsity_mask")) return;
        const at::Tensor forbidden = golden_tensor(inputs["sparsity_mask"]).eq(0);
        EXPECT_EQ(actual.weights[0][0].masked_select(forbidden).count_nonzero().item<int64_t>(), 0);
      };
      check(Normalizer::softmax, item["expected"]);
      if (item.contains("expected_sparsemax")) check(Normalizer::sparsemax, item["expected_sparsemax"]);
    }
  }
}

// Scores multiplied by the mask, instead of replaced by -inf, leave a forbidden pair the weight exp(0) / Z.
TEST_F(MultiHeadAttentionTest, ForbiddenPairsDoNotKeepTheWeightOfAScoreOfZero) {
  for (const json& item : golden_cases("sparse_attention")) {
    SCOPED_TRACE(item["id"].get<std::string>());
    const json& inputs = item["inputs"];
    const auto head = [&](const char* name) { return golden_tensor(inputs[name]).unsqueeze(0).unsqueeze(0); };
    const at::Tensor permitted = golden_tensor(inputs["sparsity_mask"]).gt(0);
    const at::Tensor weights =
        masked_attention(head("Q"), head("K"), head("V"), SparseMask::from_dense(permitted)).weights[0][0];
    const at::Tensor multiplied = golden_tensor(item["seed_as_written"]["weights"]);
    EXPECT_EQ(at::allclose(weights, multiplied, 0, 1e-3), permitted.all().item<bool>());
  }
}

TEST_F(MultiHeadAttentionTest, GradientsOfResultAndWeights) {
  const auto random = [](at::IntArrayRef sizes) {
    return torch::randn(sizes, torch::dtype(at::kDouble).requires_grad(true));
  };
  const std::vector<at::Tensor> inputs = {random({2, 4, 3}), random({3, 4}), random({3, 4}), random({3, 6}),
                                          random({6, 3})};
  SparseMask mask = SparseMask::from_dense(torch::ones({4, 4}, torch::kBool).tril());
  for (const Normalizer normalizer : {Normalizer::softmax, Normalizer::entmax15}) {
    EXPECT_TRUE(gradcheck(
        [&](const std::vector<at::Tensor>& in) {
          return multi_head_attention(in[0], {in[1], in[2], in[3], in[4]}, 2, mask, normalizer).output;
        },
        inputs));
  }
  const std::vector<at::Tensor> scored = {inputs[0], inputs[1], inputs[2]};
  EXPECT_TRUE(gradcheck(
      [&](const std::vector<at::Tensor>& in) {
        return multi_head_attention(in[0], {in[1], in[2], inputs[3].detach(), inputs[4].detach()}, 2, mask)
            .weights;
      },
      scored));
}

TEST_F(MultiHeadAttentionTest, ARowWithoutKeysHasNoWeightsNoResultAndNoGradient) {
  at::Tensor query = torch::randn({1, 1, 3, 2}, torch::dtype(at::kDouble).requires_grad(true));
  const at::Tensor key = torch::randn({1, 1, 4, 2}, at::kDouble);
  const at::Tensor value = torch::randn({1, 1, 4, 5}, at::kDouble);
  at::Tensor permitted = torch::ones({3, 4}, torch::kBool);
  permitted[1].fill_(false);
  for (const Normalizer normalizer : {Normalizer::softmax, Normalizer::sparsemax, Normalizer::entmax15}) {
    query.mutable_grad().reset();
    const WeightedAttention actual =
        masked_attention(query, key, value, SparseMask::from_dense(permitted), normalizer);
    EXPECT_EQ(actual.output[0][0][1].count_nonzero().item<int64_t>(), 0);
    EXPECT_EQ(actual.weights[0][0][1].count_nonzero().item<int64_t>(), 0);
    // entmax-1.5 finds its threshold by iteration; the others are exact but for rounding.
    EXPECT_TRUE(tensors_close(actual.weights[0][0].sum(-1), torch::tensor({1., 0., 1.}, at::kDouble), 1e-9));
    (actual.output.square().sum() + actual.weights.square().sum()).backward();
    EXPECT_EQ(query.grad()[0][0][1].count_nonzero().item<int64_t>(), 0);
  }
}

// NaN behind a weight of exactly 0 must not come through: 0 * NaN would.
TEST_F(MultiHeadAttentionTest, AForbiddenValueMayBeNaN) {
  const at::Tensor query = torch::randn({1, 2, 3, 2});
  const at::Tensor key = torch::randn({1, 2, 4, 2});
  at::Tensor value = torch::randn({1, 2, 4, 5});
  at::Tensor permitted = torch::ones({3, 4}, torch::kBool);
  permitted.select(1, 2).fill_(false);
  const SparseMask mask = SparseMask::from_dense(permitted);
  const WeightedAttention clean = masked_attention(query, key, value, mask);
  value.select(2, 2).fill_(NAN);
  const WeightedAttention spoilt = masked_attention(query, key, value, mask);
  // NaN among the values may change the order of the fp32 sums, nothing else.
  EXPECT_TRUE(tensors_close(spoilt.output, clean.output, 1e-6));
  EXPECT_TRUE(tensors_equal(spoilt.weights, clean.weights));
}

TEST_F(MultiHeadAttentionTest, EmptySequencesGiveEmptyResults) {
  const at::Tensor square = torch::randn({4, 4});
  const WeightedAttention none =
      multi_head_attention(torch::empty({2, 0, 4}), {square, square, square, square}, 2);
  EXPECT_EQ(none.output.sizes(), (std::vector<int64_t>{2, 0, 4}));
  EXPECT_EQ(none.weights.sizes(), (std::vector<int64_t>{2, 2, 0, 0}));
}

TEST_F(MultiHeadAttentionTest, SameBitsForAnyNumberOfThreads) {
  const at::Tensor x = torch::randn({3, 33, 16});
  const MultiHeadMatrices matrices{torch::randn({16, 16}), torch::randn({16, 16}), torch::randn({16, 16}),
                                   torch::randn({16, 16})};
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const WeightedAttention one = multi_head_attention(x, matrices, 4, {}, Normalizer::sparsemax);
  at::set_num_threads(3);
  const WeightedAttention three = multi_head_attention(x, matrices, 4, {}, Normalizer::sparsemax);
  at::set_num_threads(threads);
  EXPECT_TRUE(tensors_equal(three.weights, one.weights));
  EXPECT_TRUE(tensors_equal(three.output, one.output));
}

template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

TEST_F(MultiHeadAttentionTest, RefusesShapesThatDoNotFit) {
  const at::Tensor x = torch::randn({1, 3, 4});
  const at::Tensor square = torch::randn({4, 4});
  const auto attend = [&](const MultiHeadMatrices& matrices, int64_t heads) {
    return error_of([&] { multi_head_attention(x, matrices, heads); });
  };
  EXPECT_EQ(attend({torch::randn({3, 4}), square, square, square}, 2),
            "multi_head_attention: the query matrix needs 4 rows, got [3, 4]");
  EXPECT_EQ(attend({square, square, square, torch::randn({5, 4})}, 2),
            "multi_head_attention: the output matrix needs 4 rows, got [5, 4]");
  EXPECT_EQ(attend({square, torch::randn({4, 5}), square, square}, 2),
            "multi_head_attention: the key matrix needs a multiple of 2 heads as columns, got [4, 5]");
  EXPECT_EQ(attend({square, square, square.to(at::kDouble), square}, 2),
            "multi_head_attention: the value matrix needs x's dtype Float, got Double");
  EXPECT_EQ(error_of([&] { self_attention(x[0], square, square, square); }),
            "self_attention: expected x [B, N, D], got [3, 4]");
}

}  // namespace
}  // namespace giantrabbit::ops
