// Decoding that forgets: nothing changes when everything stays, the shares are kept, and each rule keeps what
// it says.
#include "eval/eviction.h"

#include <gtest/gtest.h>

#include "eval/decode.h"
#include "eval/evaluator.h"
#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

constexpr int64_t limit = 60;

model::GiantRabbit network_of(const std::string& attention, bool encoder = true) {
  model::ModelConfig config = tiny_config();
  config.attention = attention;
  config.encoder = encoder;
  if (!encoder) config.encoder_layers = 0;
  return tiny_network(config, 11);
}

TEST(EvictionTest, KeepingEverythingIsOrdinaryDecoding) {
  for (const std::string attention : {"softmax", "sparsemax", "entmax15"}) {
    for (const bool encoder : {true, false}) {
      SCOPED_TRACE(attention + (encoder ? "" : " without encoder"));
      model::GiantRabbit network = network_of(attention, encoder);
      const data::Vocabulary vocabulary;
      for (const data::Problem& problem : some_problems(4)) {
        const Decoded plain =
            decode_greedy(network, vocabulary, std::span(&problem.prompt, 1), std::span(&limit, 1));
        const EvictedOutput output =
            decode_evicting(network, vocabulary, problem.prompt, limit, {EvictionRule::attention, 1, 1});
        EXPECT_EQ(data::join_words(output.words), data::join_words(plain.outputs.at(0)));
        EXPECT_EQ(output.keys_held, output.keys_written);
      }
    }
  }
}

// A long vector for NL makes it the most likely word about every other time.
model::GiantRabbit network_that_ends_lines(uint64_t seed, bool with_attention) {
  model::GiantRabbit network = tiny_network(tiny_config(), seed);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : network->named_parameters()) {
    if (parameter.key() == "embedding.words") parameter.value()[data::Vocabulary().id("NL")] *= 4;
    if (!with_attention && parameter.key().ends_with(".out")) parameter.value().zero_();
  }
  return network;
}

TEST(EvictionTest, EveryRuleHoldsTheSameShare) {
  const data::Vocabulary vocabulary;
  const data::Problem problem = some_problems(1).front();
  bool forgot = false;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    model::GiantRabbit network = network_that_ends_lines(seed, /*with_attention=*/false);
    std::vector<double> held;
    for (const EvictionRule rule : eviction_rules) {
      const EvictedOutput output =
          decode_evicting(network, vocabulary, problem.prompt, limit, {rule, 0.5, seed});
      // Attention has no way into these outputs, so all rules write the same words.
      held.push_back(output.keys_held);
      EXPECT_LE(output.keys_held, output.keys_written);
      forgot = forgot || output.keys_held < output.keys_written;
    }
    EXPECT_EQ(held[0], held[1]);
    EXPECT_EQ(held[0], held[2]);
  }
  EXPECT_TRUE(forgot) << "no network wrote a step";
}

TEST(EvictionTest, ForgettingChangesWhatAModelWrites) {
  const data::Vocabulary vocabulary;
  int64_t different = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    model::GiantRabbit network = network_that_ends_lines(seed, /*with_attention=*/true);
    for (const data::Problem& problem : some_problems(5)) {
      const auto words = [&](double keep) {
        return decode_evicting(network, vocabulary, problem.prompt, limit, {EvictionRule::recency, keep, 1})
            .words;
      };
      if (words(1) != words(0.2)) ++different;
    }
  }
  EXPECT_GT(different, 0);
}

TEST(EvictionTest, StopsAtThePositionTable) {
  model::ModelConfig config = tiny_config();
  config.max_positions = 8;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    model::GiantRabbit network = tiny_network(config, seed);
    const EvictedOutput output =
        decode_evicting(network, data::Vocabulary(), some_problems(1).front().prompt, limit, {});
    EXPECT_LE(output.words.size(), 8U);
  }
}

TEST(EvictionTest, WindowsAreRefused) {
  model::ModelConfig config = tiny_config();
  config.window = 4;
  model::GiantRabbit network = tiny_network(config, 1);
  EXPECT_THROW(decode_evicting(network, data::Vocabulary(), some_problems(1).front().prompt, limit, {}),
               std::invalid_argument);
}

}  // namespace
}  // namespace giantrabbit::eval
