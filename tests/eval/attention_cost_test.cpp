// Densities and bytes from hand-made supports and from small models.
#include "eval/attention_cost.h"

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

// One sequence, rows (head, query) with the given keys.
model::AttentionRecord record(const std::string& name, int64_t queries, int64_t keys,
                              const std::vector<int64_t>& visible,
                              const std::vector<std::vector<int64_t>>& rows) {
  model::AttentionRecord result;
  result.name = name;
  result.queries = queries;
  result.keys = keys;
  result.visible = torch::tensor(visible).view({1, queries});
  std::vector<int64_t> offsets{0};
  std::vector<int64_t> indices;
  for (const std::vector<int64_t>& row : rows) {
    indices.insert(indices.end(), row.begin(), row.end());
    offsets.push_back(static_cast<int64_t>(indices.size()));
  }
  result.support.row_offsets = torch::tensor(offsets);
  result.support.key_indices = torch::tensor(indices, torch::kInt64);
  result.support.weights = torch::ones({static_cast<int64_t>(indices.size())});
  return result;
}

TEST(CostCounterTest, HandMadeSupports) {
  model::Trace trace;
  // Two heads, two queries that see 20 and 40 keys. Head 0 uses {0, 19} and {1}, head 1 {0} and {1, 2, 17,
  // 33}.
  trace.attentions.push_back(record("decoder.0.self", 2, 40, {20, 40}, {{0, 19}, {1}, {0}, {1, 2, 17, 33}}));
  CostCounter counter(8);
  counter.add(trace, 2);
  const AttentionCost cost = counter.result();
  ASSERT_EQ(cost.layers.size(), 1U);
  const LayerCost& layer = cost.layers[0];
  EXPECT_DOUBLE_EQ(layer.keys_visible, 30);
  EXPECT_DOUBLE_EQ(layer.heads[0].keys_used, 1.5);
  EXPECT_DOUBLE_EQ(layer.heads[1].keys_used, 2.5);
  EXPECT_DOUBLE_EQ(layer.heads[0].density, (2 / 20.0 + 1 / 40.0) / 2);
  EXPECT_DOUBLE_EQ(layer.heads[1].density, (1 / 20.0 + 4 / 40.0) / 2);
  // Pages of 16: 20 keys fill 2, 40 keys fill 3.
  EXPECT_DOUBLE_EQ(layer.heads[0].page_density, (2 / 2.0 + 1 / 3.0) / 2);
  EXPECT_DOUBLE_EQ(layer.heads[1].page_density, (1 / 2.0 + 3 / 3.0) / 2);
  // Any head: {0, 19} and {1, 2, 17, 33}.
  EXPECT_DOUBLE_EQ(layer.keys_in_union, 3);
  EXPECT_DOUBLE_EQ(layer.union_density, (2 / 20.0 + 4 / 40.0) / 2);
  EXPECT_DOUBLE_EQ(layer.mean().keys_used, 2);
  // Per token: 2 heads x (20 + 40) keys / 2 tokens; 8 used keys / 2 tokens; 8 numbers of 4 bytes each.
  EXPECT_DOUBLE_EQ(cost.keys_visible, 60);
  EXPECT_DOUBLE_EQ(cost.key_bytes, 60 * 8 * 4);
  EXPECT_DOUBLE_EQ(cost.value_bytes, 4 * 8 * 4);
}

TEST(CostCounterTest, EncoderIsNoCostOfWrittenTokens) {
  model::Trace trace;
  trace.attentions.push_back(record("encoder.0.self", 1, 4, {4}, {{0, 3}}));
  CostCounter counter(8);
  counter.add(trace, 1);
  EXPECT_EQ(counter.result().keys_visible, 0);
  EXPECT_DOUBLE_EQ(counter.result().layers[0].heads[0].density, 0.5);
}

TEST(CostCounterTest, EmptyRowsAndInvisibleKeys) {
  model::Trace trace;
  trace.attentions.push_back(record("decoder.0.cross", 2, 3, {0, 3}, {{}, {}}));
  CostCounter counter(8);
  counter.add(trace, 2);
  EXPECT_EQ(counter.result().layers[0].heads[0].density, 0);
  EXPECT_EQ(counter.result().layers[0].heads[0].page_density, 0);
  EXPECT_EQ(CostCounter(8).result().keys_visible, 0);
}

TEST(CostCounterTest, RejectsBatches) {
  model::Trace trace;
  trace.attentions.push_back(record("decoder.0.self", 2, 3, {1, 2}, {{0}, {0}}));
  trace.attentions[0].visible = torch::ones({2, 1}, torch::kInt64);
  CostCounter counter(8);
  EXPECT_THROW(counter.add(trace, 1), std::invalid_argument);
}

std::vector<ForcedItem> forced_items(int64_t count) {
  std::vector<ForcedItem> items;
  for (const data::Problem& problem : some_problems(count)) {
    items.push_back(
        {problem.prompt, data::find_family("RREF").solve(problem.prompt, data::ChainFormat::prod)});
  }
  return items;
}

TEST(MeasureAttentionTest, SoftmaxUsesEveryVisibleKey) {
  model::GiantRabbit network = tiny_network(tiny_config(), 3);
  const AttentionCost cost = measure_attention(network, data::Vocabulary(), forced_items(3));
  ASSERT_FALSE(cost.layers.empty());
  for (const LayerCost& layer : cost.layers) {
    EXPECT_DOUBLE_EQ(layer.mean().density, 1) << layer.name;
    EXPECT_DOUBLE_EQ(layer.union_density, 1) << layer.name;
    EXPECT_DOUBLE_EQ(layer.mean().page_density, 1) << layer.name;
  }
  EXPECT_DOUBLE_EQ(cost.value_bytes, cost.key_bytes);
}

TEST(MeasureAttentionTest, KeysVisibleFollowFromTheLengths) {
  for (const bool encoder : {true, false}) {
    model::ModelConfig config = tiny_config();
    config.thought_steps = 0;
    config.encoder = encoder;
    config.encoder_layers = encoder ? 1 : 0;
    model::GiantRabbit network = tiny_network(config, 3);
    const std::vector<ForcedItem> items = forced_items(1);
    const auto prompt = static_cast<double>(items[0].prompt.size());
    const auto output = static_cast<double>(items[0].output.size());
    // Token u sees u + 1 written tokens and the prompt, in the memory or as its own prefix.
    const double mean_keys = (output + 1) / 2 + prompt;
    const AttentionCost cost = measure_attention(network, data::Vocabulary(), items);
    EXPECT_NEAR(cost.keys_visible, mean_keys * 2 * 2, 1e-9)
        << (encoder ? "encoder" : "prefix");  // layers x heads
  }
}

TEST(MeasureAttentionTest, SparsemaxUsesFewerKeys) {
  model::ModelConfig config = tiny_config();
  config.attention = "sparsemax";
  config.score_scale = 4;
  model::GiantRabbit network = tiny_network(config, 3);
  const AttentionCost cost = measure_attention(network, data::Vocabulary(), forced_items(3));
  EXPECT_LT(cost.value_bytes, cost.key_bytes);
  for (const LayerCost& layer : cost.layers) {
    EXPECT_GT(layer.mean().keys_used, 0.99) << layer.name;
    EXPECT_LE(layer.mean().density, layer.union_density + 1e-12) << layer.name;
    EXPECT_LE(layer.union_density, 1) << layer.name;
  }
}

}  // namespace
}  // namespace giantrabbit::eval
