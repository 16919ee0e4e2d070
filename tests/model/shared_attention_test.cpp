// Layers with shared queries and keys: every pattern against attention over the pairs that it says it shows,
// generation against the whole pass, and what the model refuses.
#include "model/shared_attention.h"

#include <gtest/gtest.h>

#include "model/prepared_decoder.h"
#include "ops/lsh_attention.h"
#include "ops/sparse_mask_attention.h"
#include "tests/model/tiny_model.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::model {
namespace {

using test_support::tensors_close;
using test_support::tensors_equal;

// Sums of the same fp32 terms in two orders, values near 1.
constexpr double kSharedTolerance = 1e-4;

ModelConfig shared_config(const std::string& pattern, const std::string& attention = "softmax") {
  ModelConfig config = tiny::config();
  config.encoder = false;
  config.position = "learned";
  config.attention = attention;
  config.shared_attention = pattern;
  config.window = 3;
  config.lsh_chunk = 4;
  config.lsh_rounds = 2;
  return config;
}

GiantRabbit shared_network(const ModelConfig& config) {
  GiantRabbit network = tiny::random_network(config, 31);
  network->eval();
  return network;
}

SharedAttention shared_layer(const ModelConfig& config) {
  torch::manual_seed(32);
  SharedAttention layer(config, 1);
  layer->eval();
  return layer;
}

class SharedAttentionTest : public ::testing::TestWithParam<std::string> {};

TEST_P(SharedAttentionTest, IsAttentionOverWhatItShows) {
  const torch::NoGradGuard no_grad;
  for (const std::string attention : {"sparsemax", "entmax15", "softmax"}) {
    // Rounds of softmax count keys that several of them find: one round has no such keys.
    ModelConfig config = shared_config(GetParam(), attention);
    if (attention == "softmax") config.lsh_rounds = 1;
    SharedAttention layer = shared_layer(config);
    for (const int64_t length : {1, 2, 23}) {
      const SharedAttentionImpl::Heads heads = layer->project(torch::randn({2, length, config.width}));
      const torch::Tensor visible = layer->visible(heads.query).expand({2, config.heads, length, length});
      const AttentionCore core(config);
      const torch::Tensor expected =
          ops::sparse_mask_attention(heads.query, ops::lsh_shared_keys(heads.query), heads.value,
                                     ops::SparseMask::from_dense(visible), core.normalizer(), core.scale());
      EXPECT_TRUE(tensors_close(layer->attend(heads), expected, kSharedTolerance))
          << attention << ", length " << length;
      EXPECT_TRUE(tensors_close(layer->weights(heads.query).matmul(heads.value), expected, kSharedTolerance))
          << attention << ", length " << length;
    }
  }
}

TEST_P(SharedAttentionTest, ShowsEarlierPositionsAndItselfToTheFirstOnly) {
  const torch::NoGradGuard no_grad;
  const ModelConfig config = shared_config(GetParam());
  SharedAttention layer = shared_layer(config);
  const SharedAttentionImpl::Heads heads = layer->project(torch::randn({1, 23, config.width}));
  const torch::Tensor visible = layer->visible(heads.query)[0][0];
  EXPECT_TRUE(visible[0][0].item<bool>());
  EXPECT_FALSE(visible.triu(1).any().item<bool>());
  const int64_t keys = config.lsh_rounds * config.lsh_chunk;
  for (int64_t i = 1; i < 23; ++i) {
    const int64_t shown = visible[i].sum().item<int64_t>();
    EXPECT_GE(shown, 1) << "position " << i;
    if (GetParam() == "lsh") {
      EXPECT_LE(shown, 2 * keys);
    } else {
      EXPECT_EQ(shown, GetParam() == "full" ? i : std::min(keys, i));
    }
  }
}

// One token after the other gives the rows of the whole pass: for hashing as long as chunks hold everything.
TEST_P(SharedAttentionTest, GenerationGivesTheWholePass) {
  const torch::NoGradGuard no_grad;
  for (const std::string attention : {"softmax", "sparsemax"}) {
    ModelConfig config = shared_config(GetParam(), attention);
    if (GetParam() == "lsh") config.lsh_chunk = 32;
    GiantRabbit network = shared_network(config);
    const Inputs inputs = tiny::ragged_inputs();
    const torch::Tensor logits = network->forward(inputs);
    Generation generation = network->start(inputs.prompt, inputs.prompt_lengths);
    PreparedDecoder decoder(network, WeightType::float32);
    PreparedDecoder::Sequences sequences =
        decoder.start(network->start(inputs.prompt, inputs.prompt_lengths));
    torch::Tensor rows = torch::arange(3);
    for (int64_t u = 0; u < inputs.decoder_input.size(1); ++u) {
      if (u == 2) {
        rows = torch::tensor({2, 0}, torch::kInt64);
        GiantRabbitImpl::keep_rows(generation, rows);
        PreparedDecoder::keep_rows(sequences, std::vector<int64_t>{2, 0});
      }
      const torch::Tensor token = inputs.decoder_input.select(1, u).index_select(0, rows).contiguous();
      const torch::Tensor expected = logits.select(1, u).index_select(0, rows);
      EXPECT_TRUE(tensors_close(network->step(generation, token), expected, kSharedTolerance)) << u;
      const std::span<const float> prepared =
          decoder.step(sequences, {token.const_data_ptr<int64_t>(), static_cast<size_t>(token.numel())});
      EXPECT_TRUE(tensors_close(
          torch::tensor(std::vector<float>(prepared.begin(), prepared.end())).view({rows.size(0), -1}),
          expected, kSharedTolerance))
          << u;
    }
  }
}

// What a sequence writes does not depend on the others of its batch, whatever chunks their padding fills.
TEST_P(SharedAttentionTest, ASequenceIsTheSameAlone) {
  const torch::NoGradGuard no_grad;
  const ModelConfig config = shared_config(GetParam());
  GiantRabbit network = shared_network(config);
  const Inputs inputs = tiny::ragged_inputs();
  Generation all = network->start(inputs.prompt, inputs.prompt_lengths);
  const torch::Tensor logits = network->step(all, inputs.decoder_input.select(1, 0));
  for (int64_t b = 0; b < 3; ++b) {
    const torch::Tensor length = inputs.prompt_lengths.narrow(0, b, 1);
    const torch::Tensor prompt = inputs.prompt.narrow(0, b, 1).narrow(1, 0, length.item<int64_t>());
    Generation alone = network->start(prompt, length);
    EXPECT_TRUE(tensors_close(network->step(alone, inputs.decoder_input.narrow(0, b, 1).select(1, 0))[0],
                              logits[b], kSharedTolerance))
        << "sequence " << b;
  }
}

TEST_P(SharedAttentionTest, TracesTellTheSupport) {
  const torch::NoGradGuard no_grad;
  const ModelConfig config = shared_config(GetParam(), "sparsemax");
  GiantRabbit network = shared_network(config);
  Trace trace;
  network->forward(tiny::ragged_inputs(), &trace);
  ASSERT_EQ(trace.attentions.size(), 2U);
  EXPECT_EQ(trace.attentions[1].name, "decoder.1.self");
  EXPECT_EQ(trace.attentions[1].visible.select(1, 0).max().item<int64_t>(), 1);
  Generation generation = network->start(tiny::ragged_inputs().prompt, tiny::ragged_inputs().prompt_lengths);
  EXPECT_THROW(network->step(generation, torch::tensor({1, 2, 3}, torch::kInt64), &trace), c10::Error);
}

INSTANTIATE_TEST_SUITE_P(Patterns, SharedAttentionTest, ::testing::Values("full", "window", "random", "lsh"),
                         [](const auto& instance) { return instance.param; });

TEST(SharedAttentionRotationsTest, AreDrawnAnewInTrainingOnly) {
  const torch::NoGradGuard no_grad;
  ModelConfig config = shared_config("lsh", "sparsemax");
  config.lsh_rounds = 1;
  SharedAttention layer = shared_layer(config);
  const SharedAttentionImpl::Heads heads = layer->project(torch::randn({1, 64, config.width}));
  EXPECT_TRUE(tensors_equal(layer->attend(heads), layer->attend(heads)));
  layer->train();
  EXPECT_FALSE(tensors_equal(layer->attend(heads), layer->attend(heads)));
  torch::manual_seed(5);
  const torch::Tensor first = layer->attend(heads);
  torch::manual_seed(5);
  EXPECT_TRUE(tensors_equal(first, layer->attend(heads))) << "the generator's state repeats a step exactly";
}

TEST(SharedAttentionOptionsTest, WhatMakesNoSenseIsRefused) {
  ModelConfig config = shared_config("lsh");
  config.decoder_layers = 1;
  EXPECT_THROW(config.validate(), OptionError);
  config = shared_config("lsh");
  config.projection = "gated";
  EXPECT_THROW(config.validate(), OptionError);
  config = shared_config("lsh");
  config.lsh_buckets = 3;
  EXPECT_THROW(config.validate(), OptionError);
}

}  // namespace
}  // namespace giantrabbit::model
