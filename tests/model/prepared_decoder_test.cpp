// The prepared decoder against the module's forward pass, token by token, for every option of the model; then
// threads, weight types, and what it refuses.
#include "model/prepared_decoder.h"

#include <gtest/gtest.h>

#include "tests/model/tiny_model.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::model {
namespace {

using test_support::tensors_close;
using test_support::tensors_equal;

// Two orders of the same sums in fp32; see giant_rabbit_test.cpp.
constexpr double kLogitTolerance = 1e-4;

std::vector<int64_t> tokens_of(const torch::Tensor& ids) {
  const torch::Tensor row = ids.contiguous();
  return {row.const_data_ptr<int64_t>(), row.const_data_ptr<int64_t>() + row.numel()};
}

torch::Tensor step(PreparedDecoder& decoder, PreparedDecoder::Sequences& sequences,
                   const torch::Tensor& token) {
  const std::span<const float> logits = decoder.step(sequences, tokens_of(token));
  torch::Tensor result = torch::empty({token.size(0), decoder.vocabulary_size()});
  std::ranges::copy(logits, result.mutable_data_ptr<float>());
  return result;
}

PreparedDecoder::Sequences start(GiantRabbit& network, const PreparedDecoder& decoder, const Inputs& inputs) {
  return decoder.start(network->start(inputs.prompt, inputs.prompt_lengths));
}

// All logits [B, U, V] of given tokens.
torch::Tensor forced(GiantRabbit& network, const Inputs& inputs, WeightType type) {
  PreparedDecoder decoder(network, type);
  PreparedDecoder::Sequences sequences = start(network, decoder, inputs);
  std::vector<torch::Tensor> logits;
  for (int64_t u = 0; u < inputs.decoder_input.size(1); ++u) {
    logits.push_back(step(decoder, sequences, inputs.decoder_input.select(1, u)));
  }
  return torch::stack(logits, 1);
}

// Three sequences of different lengths; behind the third token the middle one leaves and the others change
// places.
void expect_forward(GiantRabbit& network, const Inputs& inputs) {
  const torch::Tensor logits = network->forward(inputs);
  PreparedDecoder decoder(network, WeightType::float32);
  PreparedDecoder::Sequences sequences = start(network, decoder, inputs);
  std::vector<int64_t> rows{0, 1, 2};
  for (int64_t u = 0; u < inputs.decoder_input.size(1); ++u) {
    if (u == 3) {
      rows = {2, 0};
      PreparedDecoder::keep_rows(sequences, rows);
    }
    const torch::Tensor kept = torch::tensor(rows, torch::kInt64);
    const torch::Tensor token = inputs.decoder_input.select(1, u).index_select(0, kept);
    EXPECT_TRUE(tensors_close(step(decoder, sequences, token), logits.select(1, u).index_select(0, kept),
                              kLogitTolerance))
        << "token " << u;
  }
}

class PreparedDecoderTest : public ::testing::TestWithParam<std::string> {};

TEST_P(PreparedDecoderTest, GivesTheModulesLogits) {
  const torch::NoGradGuard no_grad;
  uint64_t seed = 0;
  for (const std::string position : {"signpost", "learned", "axial", "sinusoidal", "rotary"}) {
    for (const bool encoder : {true, false}) {
      for (const int64_t thoughts : {0, 2}) {
        for (const int64_t width : {8, 64}) {  // heads of 4, which are padded, and of 32, which are not
          ModelConfig config = tiny::config();
          config.attention = GetParam();
          config.position = position;
          config.encoder = encoder;
          config.thought_steps = thoughts;
          config.width = width;
          config.window = thoughts == 0 ? 0 : 3;
          config.keep_fraction = width == 8 ? 0.5 : 1;
          SCOPED_TRACE(position + (encoder ? "" : " no-encoder") + " T=" + std::to_string(thoughts) +
                       " width " + std::to_string(width) + " seed " + std::to_string(++seed));
          GiantRabbit network = tiny::random_network(config, seed);
          if (width == 64) {  // keeps logits near 1, as training does
            for (torch::Tensor& parameter : network->parameters()) parameter.mul_(0.3);
          }
          expect_forward(network, tiny::ragged_inputs());
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST_P(PreparedDecoderTest, DeepProjections) {
  const torch::NoGradGuard no_grad;
  uint64_t seed = 100;
  for (const std::string projection : {"gated", "strict"}) {
    for (const int64_t width : {6, 32}) {
      ModelConfig config = tiny::config();
      config.attention = GetParam();
      config.projection = projection;
      config.width = width;
      SCOPED_TRACE(projection + " width " + std::to_string(width) + " seed " + std::to_string(++seed));
      GiantRabbit network = tiny::random_network(config, seed);
      expect_forward(network, tiny::ragged_inputs());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Attention, PreparedDecoderTest,
                         ::testing::Values("softmax", "sparsemax", "entmax15"),
                         [](const auto& instance) { return instance.param; });

// Long enough that sparse attention reads its 8-bit copy of the keys, and for chains, lines and answers.
TEST(PreparedDecoderStepTest, LongSequencesAndTheirSignposts) {
  const torch::NoGradGuard no_grad;
  for (const std::string attention : {"softmax", "sparsemax", "entmax15"}) {
    SCOPED_TRACE(attention);
    ModelConfig config = tiny::config();
    config.attention = attention;
    config.width = 32;
    config.max_positions = 700;
    config.score_scale = 2;
    GiantRabbit network = tiny::random_network(config, 21);
    for (torch::Tensor& parameter : network->parameters()) parameter.mul_(0.5);
    Inputs inputs = tiny::ragged_inputs();
    inputs.decoder_input = tiny::random_ids(3, 700);
    EXPECT_TRUE(tensors_close(forced(network, inputs, WeightType::float32), network->forward(inputs), 1e-3));
  }
}

TEST(PreparedDecoderStepTest, GoesOnWhereTheModuleStopped) {
  const torch::NoGradGuard no_grad;
  GiantRabbit network = tiny::random_network(tiny::config(), 22);
  const Inputs inputs = tiny::ragged_inputs();
  const torch::Tensor logits = network->forward(inputs);
  Generation generation = network->start(inputs.prompt, inputs.prompt_lengths);
  for (int64_t u = 0; u < 2; ++u) network->step(generation, inputs.decoder_input.select(1, u));
  PreparedDecoder decoder(network, WeightType::float32);
  PreparedDecoder::Sequences sequences = decoder.start(std::move(generation));
  for (int64_t u = 2; u < 5; ++u) {
    EXPECT_TRUE(tensors_close(step(decoder, sequences, inputs.decoder_input.select(1, u)),
                              logits.select(1, u), kLogitTolerance));
  }
}

TEST(PreparedDecoderStepTest, NeitherBatchNorThreadsChangeBits) {
  const torch::NoGradGuard no_grad;
  for (const WeightType type : {WeightType::float32, WeightType::bfloat16, WeightType::int8}) {
    ModelConfig config = tiny::config();
    config.attention = "sparsemax";
    config.width = 128;
    config.feed_forward = 512;
    GiantRabbit network = tiny::random_network(config, 23);
    for (torch::Tensor& parameter : network->parameters()) parameter.mul_(0.2);
    const Inputs inputs{tiny::random_ids(40, 6), torch::full({40}, 6, torch::kInt64),
                        tiny::random_ids(40, 8)};
    const torch::Tensor together = forced(network, inputs, type);
    at::set_num_threads(2);
    const torch::Tensor threaded = forced(network, inputs, type);
    at::set_num_threads(1);
    EXPECT_TRUE(tensors_equal(threaded, together));
    // The encoder's batch may change a bit of the memory, so every sequence starts from the same caches.
    PreparedDecoder decoder(network, type);
    for (int64_t b = 0; b < 40; b += 13) {
      PreparedDecoder::Sequences alone = start(network, decoder, inputs);
      PreparedDecoder::keep_rows(alone, std::vector<int64_t>{b});
      for (int64_t u = 0; u < 8; ++u) {
        const torch::Tensor token = inputs.decoder_input.narrow(0, b, 1).select(1, u);
        EXPECT_TRUE(tensors_equal(step(decoder, alone, token)[0], together[b][u])) << b << " " << u;
      }
    }
  }
}

TEST(PreparedDecoderStepTest, RoundedWeightsStayNear) {
  const torch::NoGradGuard no_grad;
  ModelConfig config = tiny::config();
  config.width = 64;
  GiantRabbit network = tiny::random_network(config, 24);
  for (torch::Tensor& parameter : network->parameters()) parameter.mul_(0.3);
  const Inputs inputs = tiny::ragged_inputs();
  const torch::Tensor logits = network->forward(inputs);
  const auto error = [&](WeightType type) {
    return ((forced(network, inputs, type) - logits).norm() / logits.norm()).item<double>();
  };
  // Weights have 8 bits of mantissa or 7 bits and a sign: relative errors of 0.1% and 0.3% of the largest,
  // which a few layers enlarge.
  EXPECT_GT(error(WeightType::bfloat16), 1e-5);
  EXPECT_LT(error(WeightType::bfloat16), 0.02);
  EXPECT_GT(error(WeightType::int8), 1e-5);
  EXPECT_LT(error(WeightType::int8), 0.05);
}

TEST(PreparedDecoderStepTest, EdgesAndRefusals) {
  const torch::NoGradGuard no_grad;
  ModelConfig config = tiny::config();
  config.max_positions = 6;
  GiantRabbit network = tiny::random_network(config, 25);
  const Inputs inputs = tiny::ragged_inputs();
  PreparedDecoder decoder(network, WeightType::float32);
  PreparedDecoder::Sequences sequences = start(network, decoder, inputs);
  EXPECT_THROW(decoder.step(sequences, std::vector<int64_t>{1, 1}), c10::Error);
  EXPECT_THROW(decoder.step(sequences, std::vector<int64_t>{1, 22, 1}), c10::Error);
  EXPECT_THROW(decoder.step(sequences, std::vector<int64_t>{1, -1, 1}), c10::Error);
  for (int64_t u = 0; u < 6; ++u) decoder.step(sequences, std::vector<int64_t>{1, 1, 1});
  try {
    decoder.step(sequences, std::vector<int64_t>{1, 1, 1});
    ADD_FAILURE() << "position 6 of 6 was taken";
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what()).find("position 6 is outside the table of 6"), std::string::npos);
  }
  PreparedDecoder::keep_rows(sequences, {});
  EXPECT_EQ(sequences.size(), 0);
  EXPECT_TRUE(decoder.step(sequences, {}).empty());
}

}  // namespace
}  // namespace giantrabbit::model
