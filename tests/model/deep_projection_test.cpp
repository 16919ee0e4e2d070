// Gated and strict projections, the attention around them and the whole ABC sorter against the golden values
// of chapter3_golden.json (definitions in double), and what holds for any weights.
#include "model/deep_projection.h"

#include <gtest/gtest.h>

#include "model/giant_rabbit.h"
#include "model/loss.h"
#include "tests/model/golden_sorter.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::model {
namespace {

using golden::Sorter;
using test_support::golden_tensor;
using test_support::tensors_close;

constexpr double kTolerance = 1e-12;  // the file's own for double
constexpr uint64_t kSeed = 2027;

const nlohmann::json& golden_file() {
  static const nlohmann::json file = test_support::load_golden("chapter3_golden.json");
  return file;
}

class DeepProjectionTest : public ::testing::TestWithParam<std::string> {};

TEST_P(DeepProjectionTest, MatricesMatchGolden) {
  const Sorter sorter(GetParam());
  const auto& expected = golden_file()["abc_fixture"]["attention_module"][GetParam()];
  std::vector<torch::Tensor> parts;
  for (const char* name : {"W_q", "W_k", "W_v"}) {
    parts.push_back(golden_tensor(expected[name]).transpose(1, 2).flatten(0, 1));  // [H, D, d] -> [D, D]
  }
  EXPECT_TRUE(tensors_close(sorter.attention->projection().detach(), torch::cat(parts), kTolerance));
}

TEST_P(DeepProjectionTest, AttentionMatchesGolden) {
  const torch::NoGradGuard no_grad;
  Sorter sorter(GetParam());
  const auto& module = golden_file()["abc_fixture"]["attention_module"];
  const auto& expected = module[GetParam()];
  Trace trace;
  const torch::Tensor y = sorter.attend(golden_tensor(module["x"]).unsqueeze(0), &trace);
  EXPECT_TRUE(tensors_close(y[0], golden_tensor(expected["y"]), kTolerance));
  EXPECT_TRUE(tensors_close(golden::dense_weights(trace.attentions.at(0)),
                            golden_tensor(expected["attention"]), kTolerance));
}

TEST_P(DeepProjectionTest, ParameterCountsMatchGolden) {
  const GiantRabbit network(golden::sorter_config(GetParam()), golden::sorter_traits());
  const auto& counts = golden_file()["abc_sorter"]["parameter_counts"];
  EXPECT_EQ(network->parameter_count(),
            counts[GetParam() == "strict" ? "total_strict" : "total"].get<int64_t>());
}

TEST_P(DeepProjectionTest, Gradients) {
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  torch::manual_seed(kSeed);
  DeepProjection deep(golden::sorter_config(GetParam()));
  deep->to(torch::kDouble);
  const bool gated = deep->base.defined();
  std::vector<torch::Tensor> inputs = {deep->left, deep->right};
  if (gated) inputs.push_back(deep->base);
  for (torch::Tensor& input : inputs) input = input.detach().clone().requires_grad_(true);
  EXPECT_TRUE(test_support::gradcheck(
      [&](const std::vector<torch::Tensor>& in) {
        deep->left = in[0];
        deep->right = in[1];
        if (gated) deep->base = in[2];
        return deep->matrix();
      },
      inputs));
}

TEST_P(DeepProjectionTest, TemperatureDividesTheScores) {
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  const torch::NoGradGuard no_grad;
  ModelConfig config = golden::sorter_config(GetParam());
  torch::manual_seed(kSeed);
  const DeepProjection warm(config);
  config.projection_temperature = 0.5;  // a power of two: the same bits
  torch::manual_seed(kSeed);
  const DeepProjection cold(config);
  warm->left.mul_(2);
  EXPECT_TRUE(test_support::tensors_equal(cold->matrix(), warm->matrix()));
}

INSTANTIATE_TEST_SUITE_P(Kinds, DeepProjectionTest, ::testing::Values("gated", "strict"),
                         [](const auto& instance) { return instance.param; });

TEST(DeepProjectionStrictTest, RowsLieOnTheSimplex) {
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  const torch::NoGradGuard no_grad;
  torch::manual_seed(kSeed);
  ModelConfig config = golden::sorter_config("strict");
  config.width = 12;
  config.heads = 3;
  const torch::Tensor rows = DeepProjection(config)->matrix().view({3, 3, 4, 12});  // [.., d, D]
  EXPECT_TRUE(rows.ge(0).all().item<bool>());
  EXPECT_TRUE(tensors_close(rows.sum(2), torch::ones({3, 3, 12}), 1e-6));  // four fp32 summands
}

TEST(GoldenSorterTest, LogitsAttentionAndLossMatch) {
  Sorter sorter;
  const auto& expected = golden_file()["abc_fixture"]["full_model"];
  const torch::Tensor ids = golden_tensor(expected["ids"], torch::kInt64).unsqueeze(0);
  Trace trace;
  const torch::Tensor logits = sorter.forward(ids, &trace);
  EXPECT_TRUE(tensors_close(logits[0], golden_tensor(expected["logits"]), kTolerance));
  EXPECT_TRUE(tensors_close(golden::dense_weights(trace.attentions.at(0)),
                            golden_tensor(expected["attention"]), kTolerance));
  // Every token but the first is predicted, the prompt's too; no word is padding.
  const torch::Tensor loss =
      sequence_loss(sorter.config, logits.narrow(1, 0, 6), ids.narrow(1, 1, 6), /*pad=*/-1);
  EXPECT_NEAR(loss.item<double>(), expected["loss"].get<double>(), kTolerance);
}

}  // namespace
}  // namespace giantrabbit::model
