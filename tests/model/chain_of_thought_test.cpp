// Attention cores against the reference, and the chain-of-thought module: what its masks keep, what leaves
// the state, and what the trace shows of it.
#include "model/chain_of_thought.h"

#include <gtest/gtest.h>

#include "model/safetensors.h"
#include "ops/reference/sparse_mask_attention.h"
#include "tests/model/tiny_model.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::model {
namespace {

using test_support::tensors_close;
using test_support::tensors_equal;

const std::vector<std::string> kinds = {"softmax", "sparsemax", "entmax15"};

ModelConfig of_kind(const std::string& attention) {
  ModelConfig config = tiny::config();
  config.attention = attention;
  return config;
}

ops::SparseMask lengths_mask(const torch::Tensor& lengths) {
  ops::SparseMask mask;
  mask.key_lengths = lengths;
  return mask;
}

TEST(AttentionCoreTest, MatchesReferenceAtTheDefaultScale) {
  // Head width 4: 1/sqrt(d) = 0.5, times 1, 0.25 and 0.5.
  const std::vector<double> scales = {0.5, 0.125, 0.25};
  for (size_t i = 0; i < kinds.size(); ++i) {
    SCOPED_TRACE(kinds[i]);
    torch::manual_seed(1);
    const torch::Tensor query = 3 * torch::randn({2, 2, 5, 4}), key = torch::randn({2, 2, 7, 4}),
                        value = torch::randn({2, 2, 7, 4});
    const ops::SparseMask mask = lengths_mask(torch::tensor({7, 3}, torch::kInt64));
    const auto expected = [&](double scale) {
      return ops::reference::sparse_mask_attention(query, key, value, mask, ops::parse_normalizer(kinds[i]),
                                                   scale);
    };
    ModelConfig config = of_kind(kinds[i]);
    // Weighted means of numbers below 4, scores below 20: rounding stays near 1e-6.
    EXPECT_TRUE(tensors_close(AttentionCore(config).attend(query, key, value, mask, nullptr, ""),
                              expected(scales[i]), 2e-5));
    config.score_scale = 0.7;
    EXPECT_TRUE(tensors_close(AttentionCore(config).attend(query, key, value, mask, nullptr, ""),
                              expected(0.35), 2e-5));
  }
}

TEST(AttentionCoreTest, SparseKindsStartWithZeroQueries) {
  for (const std::string& kind : kinds) {
    SCOPED_TRACE(kind);
    torch::manual_seed(2);
    const SelfAttention self(of_kind(kind));
    const CrossAttention cross(of_kind(kind));
    const bool zero = kind != "softmax";
    EXPECT_EQ(self->qkv.narrow(0, 0, 8).abs().sum().item<float>() == 0, zero);
    EXPECT_EQ(cross->query.abs().sum().item<float>() == 0, zero);
    EXPECT_GT(self->qkv.narrow(0, 8, 8).abs().min().item<float>(), 0);  // keys
    EXPECT_EQ(self->out.abs().sum().item<float>(), 0);
    EXPECT_EQ(cross->out.abs().sum().item<float>(), 0);
  }
}

TEST(AttentionCoreTest, ReceivedMass) {
  const torch::Tensor lengths = torch::tensor({6, 4, 1}, torch::kInt64);
  for (const std::string& kind : kinds) {
    SCOPED_TRACE(kind);
    torch::manual_seed(3);
    const torch::Tensor query = 2 * torch::randn({3, 2, 6, 4}), key = torch::randn({3, 2, 6, 4});
    ModelConfig config = of_kind(kind);
    config.score_scale = 1;
    const ops::SparseMask mask = lengths_mask(lengths);
    const torch::Tensor mass = AttentionCore(config).received_mass(query, key, mask);
    // Every query that is not padding gives one unit per head, to keys that are not padding.
    EXPECT_TRUE(tensors_close(mass.sum(1), (lengths * 2).to(torch::kFloat32), 1e-5));
    const torch::Tensor valid = torch::arange(6).unsqueeze(0).lt(lengths.unsqueeze(1));
    EXPECT_EQ(mass.masked_select(valid.logical_not()).abs().sum().item<float>(), 0);
    const torch::Tensor weights =
        ops::reference::attention_weights(query, key, mask, ops::parse_normalizer(kind), 0.5);
    const torch::Tensor expected = (weights * valid.unsqueeze(1).unsqueeze(3)).sum({1, 2});
    EXPECT_TRUE(tensors_close(mass, expected, 1e-5));
  }
}

// A chain-of-thought module with random weights, and a memory of sequences with 7, 4 and 1 tokens.
struct Thinker {
  explicit Thinker(const ModelConfig& config, uint64_t seed = 4) {
    torch::manual_seed(seed);
    module = ChainOfThought(config);
    const torch::NoGradGuard guard;
    for (torch::Tensor& parameter : module->parameters()) parameter.normal_(0, 0.5);
    memory = {torch::randn({3, 7, 8}), torch::tensor({7, 4, 1}, torch::kInt64)};
  }
  ChainOfThought module{nullptr};
  Memory memory;
  Trace trace;
};

ModelConfig thinking(int64_t steps, const std::string& mask = "none",
                     const std::string& granularity = "feature") {
  ModelConfig config = tiny::config();
  config.thought_steps = steps;
  config.mask = mask;
  config.mask_granularity = granularity;
  config.keep_fraction = 0.5;
  return config;
}

TEST(ChainOfThoughtTest, NoStepsNoModule) {
  const GiantRabbit without = tiny::random_network(tiny::config(), 1);
  EXPECT_TRUE(without->chain_of_thought.is_empty());
  for (const auto& item : without->named_parameters())
    EXPECT_FALSE(item.key().starts_with("chain_of_thought")) << item.key();
  ModelConfig config = tiny::config();
  config.thought_steps = 1;
  const int64_t once = tiny::random_network(config, 1)->parameter_count();
  config.thought_steps = 5;
  EXPECT_EQ(tiny::random_network(config, 1)->parameter_count(), once);  // one block, used five times
  EXPECT_GT(once, without->parameter_count());
}

TEST(ChainOfThoughtTest, TraceOfEveryKindOfMask) {
  for (const std::string mask : {"none", "static", "dynamic", "random", "recency"}) {
    for (const std::string granularity : {"feature", "token"}) {
      if (mask == "recency" && granularity == "feature") continue;
      SCOPED_TRACE(mask + " " + granularity);
      Thinker setup(thinking(3, mask, granularity));
      setup.module->forward(setup.memory, &setup.trace);
      EXPECT_EQ(setup.trace.thoughts.size(), 4u);
      EXPECT_TRUE(tensors_equal(setup.trace.thoughts[0], setup.memory.states));
      EXPECT_EQ(setup.trace.masks.size(), mask == "none" ? 0u : 3u);
      ASSERT_EQ(setup.trace.attentions.size(), 6u);
      EXPECT_EQ(setup.trace.attentions[4].name, "thought.2.self");
      EXPECT_EQ(setup.trace.attentions[5].name, "thought.2.cross");
      EXPECT_EQ(setup.trace.attentions[5].keys, 7);  // the memory is never thinned
    }
  }
}

TEST(ChainOfThoughtTest, DynamicFeaturesAreTheLargestOfEveryToken) {
  Thinker setup(thinking(2, "dynamic"));
  const Memory result = setup.module->forward(setup.memory, &setup.trace);
  EXPECT_TRUE(tensors_equal(result.lengths, setup.memory.lengths));
  for (size_t t = 0; t < 2; ++t) {
    const torch::Tensor kept = setup.trace.masks[t];
    EXPECT_TRUE(tensors_equal(kept.sum(-1), torch::full({3, 7}, 4.0f)));
    EXPECT_TRUE(tensors_equal(kept, keep_largest(setup.trace.thoughts[t], 0.5)));
  }
  EXPECT_FALSE(torch::equal(setup.trace.masks[0], setup.trace.masks[1]));
}

// Attention received in self-attention of step t, from the recorded support: padded queries do not count.
torch::Tensor recorded_mass(const Trace& trace, int64_t t, const torch::Tensor& lengths) {
  for (const AttentionRecord& record : trace.attentions) {
    if (record.name != "thought." + std::to_string(t) + ".self") continue;
    torch::Tensor mass = torch::zeros({3, record.keys});
    const auto offsets = record.support.row_offsets.accessor<int64_t, 1>();
    for (int64_t row = 0; row + 1 < offsets.size(0); ++row) {
      const int64_t b = row / (2 * record.queries);
      if (row % record.queries >= lengths[b].item<int64_t>()) continue;
      for (int64_t i = offsets[row]; i < offsets[row + 1]; ++i)
        mass[b][record.support.key_indices[i]] += record.support.weights[i];
    }
    return mass;
  }
  throw std::runtime_error("no such step in the trace");
}

TEST(ChainOfThoughtTest, DroppedTokensAreNeverVisitedAgain) {
  for (const std::string& kind : kinds) {
    SCOPED_TRACE(kind);
    ModelConfig config = thinking(3, "dynamic", "token");
    config.attention = kind;
    Thinker setup(config);
    const Memory result = setup.module->forward(setup.memory, &setup.trace);
    // 7 -> 4 -> 2, 4 -> 2 -> 1, 1 -> 1 -> 1; the first mask keeps everything.
    const std::vector<std::vector<int64_t>> lengths = {{7, 4, 1}, {7, 4, 1}, {4, 2, 1}, {2, 1, 1}};
    EXPECT_TRUE(tensors_equal(result.lengths, torch::tensor(lengths[3], torch::kInt64)));
    EXPECT_EQ(result.states.size(1), 2);
    for (size_t t = 0; t < 3; ++t) {
      SCOPED_TRACE(t);
      const torch::Tensor before = torch::tensor(lengths[t], torch::kInt64);
      const torch::Tensor kept = setup.trace.masks[t];
      EXPECT_EQ(setup.trace.thoughts[t + 1].size(1), lengths[t + 1][0]);
      EXPECT_EQ(setup.trace.attentions[2 * t].keys, lengths[t + 1][0]);
      EXPECT_EQ(kept.size(1), lengths[t + 1][0]);
      const torch::Tensor mass =
          t == 0 ? torch::ones({3, 7}) : recorded_mass(setup.trace, static_cast<int64_t>(t) - 1, before);
      for (int64_t b = 0; b < 3; ++b) {
        const torch::Tensor own = kept[b].narrow(0, 0, lengths[t + 1][static_cast<size_t>(b)]);
        EXPECT_LT(own.max().item<int64_t>(), lengths[t][static_cast<size_t>(b)]);  // padding is never kept
        EXPECT_TRUE(own.diff().gt(0).all().item<bool>());                          // the old order
        const torch::Tensor valid = mass[b].narrow(0, 0, lengths[t][static_cast<size_t>(b)]);
        const torch::Tensor best = std::get<0>(std::get<1>(valid.topk(own.size(0))).sort());
        if (t > 0) {
          EXPECT_TRUE(tensors_equal(own, best));
        }
      }
    }
  }
}

TEST(ChainOfThoughtTest, StaticMasksAreFixedAndSaved) {
  for (const std::string granularity : {"feature", "token"}) {
    SCOPED_TRACE(granularity);
    Thinker setup(thinking(2, "static", granularity));
    const Memory first = setup.module->forward(setup.memory, &setup.trace);
    Trace again;
    const Memory other{torch::randn({3, 7, 8}), setup.memory.lengths};
    setup.module->forward(other, &again);
    for (size_t t = 0; t < 2; ++t) EXPECT_TRUE(tensors_equal(setup.trace.masks[t], again.masks[t]));
    if (granularity == "feature") {
      EXPECT_TRUE(tensors_equal(setup.trace.masks[0].sum(-1), torch::full({3, 7}, 4.0f)));
      EXPECT_TRUE(tensors_equal(setup.trace.masks[0], setup.trace.masks[1]));
    } else {
      EXPECT_TRUE(tensors_equal(first.lengths, torch::tensor({4, 2, 1}, torch::kInt64)));
      // Fixed means that it does not shrink from step to step.
      EXPECT_TRUE(tensors_equal(setup.trace.masks[1][0], torch::arange(4)));
    }
    Thinker copy(thinking(2, "static", granularity), 99);
    load_state(*copy.module, state_of(*setup.module));
    EXPECT_TRUE(
        tensors_equal(copy.module->forward(setup.memory, nullptr).states.detach(), first.states.detach()));
  }
}

// The controls keep as many tokens as the dynamic mask does, in every step.
TEST(ChainOfThoughtTest, ControlsHaveTheDensityOfDynamicMasks) {
  for (const std::string mask : {"random", "recency"}) {
    SCOPED_TRACE(mask);
    Thinker setup(thinking(3, mask, "token"));
    Thinker dynamic(thinking(3, "dynamic", "token"));
    const Memory result = setup.module->forward(setup.memory, &setup.trace);
    EXPECT_TRUE(
        tensors_equal(result.lengths, dynamic.module->forward(dynamic.memory, &dynamic.trace).lengths));
    for (size_t t = 0; t < 3; ++t) {
      EXPECT_EQ(setup.trace.masks[t].sizes(), dynamic.trace.masks[t].sizes()) << t;
    }
    if (mask == "recency") {
      EXPECT_TRUE(tensors_equal(setup.trace.masks[1][0], torch::tensor({3, 4, 5, 6}, torch::kInt64)));
      EXPECT_TRUE(tensors_equal(setup.trace.masks[2][0], torch::tensor({2, 3}, torch::kInt64)));
    }
  }
  Thinker features(thinking(2, "random"));
  features.module->forward(features.memory, &features.trace);
  EXPECT_TRUE(tensors_equal(features.trace.masks[0].sum(-1), torch::full({3, 7}, 4.0f)));
  EXPECT_FALSE(torch::equal(features.trace.masks[0], features.trace.masks[1]));
  EXPECT_FALSE(torch::equal(features.trace.masks[0][0][0], features.trace.masks[0][0][1]));
  Trace again;
  features.module->forward({torch::randn({3, 7, 8}), features.memory.lengths}, &again);
  for (size_t t = 0; t < 2; ++t) EXPECT_TRUE(tensors_equal(features.trace.masks[t], again.masks[t]));
}

TEST(ChainOfThoughtTest, FixedMasksHaveATableToo) {
  const std::vector<std::pair<std::string, std::string>> masks = {
      {"static", "token"}, {"random", "token"}, {"random", "feature"}};
  for (const auto& [mask, granularity] : masks) {
    SCOPED_TRACE(mask + " " + granularity);
    Thinker setup(thinking(2, mask, granularity));
    const Memory longer{torch::randn({1, 66, 8}), torch::tensor({66}, torch::kInt64)};
    try {
      setup.module->forward(longer, nullptr);
      FAIL() << "a position behind the table was accepted";
    } catch (const c10::Error& error) {
      EXPECT_NE(std::string(error.what_without_backtrace()).find("model.max_positions"), std::string::npos);
    }
  }
}

TEST(ChainOfThoughtTest, WindowLimitsTheState) {
  ModelConfig config = thinking(1);
  config.window = 2;
  Thinker setup(config);
  setup.module->forward(setup.memory, &setup.trace);
  const torch::Tensor visible = setup.trace.attentions[0].visible;
  EXPECT_TRUE(tensors_equal(visible[0], torch::tensor({2, 3, 3, 3, 3, 3, 2}, torch::kInt64)));
}

TEST(ConcatenateTest, ValidStatesFirst) {
  const torch::Tensor first = torch::tensor({{1.0, 2.0}, {3.0, -1.0}}).unsqueeze(2);
  const torch::Tensor second = torch::tensor({{5.0, -1.0, -1.0}, {7.0, 8.0, 9.0}}).unsqueeze(2);
  const Memory joined = concatenate({first, torch::tensor({2, 1}, torch::kInt64)},
                                    {second, torch::tensor({1, 3}, torch::kInt64)});
  EXPECT_TRUE(tensors_equal(joined.lengths, torch::tensor({3, 4}, torch::kInt64)));
  EXPECT_TRUE(tensors_equal(joined.states[0].squeeze(1).narrow(0, 0, 3), torch::tensor({1.0, 2.0, 5.0})));
  EXPECT_TRUE(
      tensors_equal(joined.states[1].squeeze(1).narrow(0, 0, 4), torch::tensor({3.0, 7.0, 8.0, 9.0})));
}

}  // namespace
}  // namespace giantrabbit::model
