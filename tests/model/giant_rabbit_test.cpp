// The whole model under every combination of its switches: shapes, gradients, padding, generation step by
// step, and what a trace shows. Then what a fresh network must and must not do.
#include "model/giant_rabbit.h"

#include <gtest/gtest.h>

#include "model/loss.h"
#include "tests/model/tiny_model.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::model {
namespace {

using test_support::tensors_close;
using test_support::tensors_equal;

// Two orders of the same sums in fp32. Logits are of order 1 to 10 and pass about 60 operations of relative
// error 1e-7 each, layer norms of width 8 among them, which can enlarge errors some ten times.
constexpr double tolerance = 1e-4;

struct Variant {
  std::string attention, position;
  bool encoder;
  int64_t thought_steps;
  std::string mask, granularity;
  int64_t window;
  int64_t pause_tokens = 0;

  ModelConfig config() const {
    ModelConfig result = tiny::config();
    result.attention = attention;
    result.position = position;
    result.encoder = encoder;
    result.thought_steps = thought_steps;
    result.mask = mask;
    result.mask_granularity = granularity;
    result.keep_fraction = mask == "none" ? 1 : 0.5;
    result.window = window;
    result.pause_tokens = pause_tokens;
    return result;
  }
  std::string name() const {
    return attention + " " + position + (encoder ? "" : " no-encoder") +
           " T=" + std::to_string(thought_steps) + " " + mask + "-" + granularity +
           " window=" + std::to_string(window) + " pause=" + std::to_string(pause_tokens);
  }
};

std::vector<Variant> variants(const std::string& attention) {
  const std::vector<std::pair<int64_t, std::pair<std::string, std::string>>> thoughts = {
      {0, {"none", "feature"}},    {2, {"none", "feature"}}, {2, {"static", "feature"}},
      {2, {"dynamic", "feature"}}, {2, {"static", "token"}}, {2, {"dynamic", "token"}},
      {2, {"random", "feature"}},  {2, {"random", "token"}}, {2, {"recency", "token"}}};
  std::vector<Variant> result;
  for (const std::string position : {"signpost", "learned", "axial", "sinusoidal", "rotary"}) {
    for (const bool encoder : {true, false}) {
      for (const auto& [steps, mask] : thoughts) {
        for (const int64_t window : {0, 3}) {
          result.push_back({attention, position, encoder, steps, mask.first, mask.second, window});
        }
      }
      result.push_back({attention, position, encoder, 0, "none", "feature", 0, 2});
    }
  }
  return result;
}

void expect_gradients(GiantRabbit& network, const torch::Tensor& logits, const torch::Tensor& target) {
  for (const std::string output : {"softmax", "sparsemax", "entmax15"}) {
    SCOPED_TRACE(output);
    ModelConfig config = network->config();
    config.output = output;  // decides the loss alone, so one forward pass serves all three
    network->zero_grad();
    const torch::Tensor loss = sequence_loss(config, logits, target, 0);
    loss.backward({}, /*retain_graph=*/true);
    EXPECT_TRUE(std::isfinite(loss.item<double>()));
    for (const auto& item : network->named_parameters()) {
      const torch::Tensor& gradient = item.value().grad();
      ASSERT_TRUE(gradient.defined()) << item.key();
      EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << item.key();
      EXPECT_GT(gradient.abs().sum().item<float>(), 0) << item.key();
    }
  }
}

void expect_padding_is_invisible(GiantRabbit& network, const Inputs& inputs, const torch::Tensor& logits) {
  for (int64_t b = 0; b < 3; ++b) {
    const int64_t length = inputs.prompt_lengths[b].item<int64_t>();
    const Inputs alone{inputs.prompt.narrow(0, b, 1).narrow(1, 0, length),
                       inputs.prompt_lengths.narrow(0, b, 1), inputs.decoder_input.narrow(0, b, 1)};
    EXPECT_TRUE(tensors_close(network->forward(alone)[0], logits[b], tolerance)) << "sequence " << b;
  }
}

// Every position from the cache; behind the third token the middle sequence leaves and the others change
// places.
void expect_generation_is_forward(GiantRabbit& network, const Inputs& inputs, const torch::Tensor& logits) {
  Generation generation = network->start(inputs.prompt, inputs.prompt_lengths);
  torch::Tensor rows = torch::arange(3);
  for (int64_t u = 0; u < inputs.decoder_input.size(1); ++u) {
    if (u == 3) {
      rows = torch::tensor({2, 0}, torch::kInt64);
      GiantRabbitImpl::keep_rows(generation, rows);
    }
    const torch::Tensor token = inputs.decoder_input.select(1, u).index_select(0, rows);
    EXPECT_TRUE(
        tensors_close(network->step(generation, token), logits.select(1, u).index_select(0, rows), tolerance))
        << "token " << u;
  }
}

class EveryVariant : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryVariant, ForwardBackwardPaddingAndGeneration) {
  uint64_t seed = 0;
  for (const Variant& variant : variants(GetParam())) {
    SCOPED_TRACE(variant.name() + " seed " + std::to_string(++seed));
    GiantRabbit network = tiny::random_network(variant.config(), seed);
    const Inputs inputs = tiny::ragged_inputs();
    const torch::Tensor logits = network->forward(inputs);
    ASSERT_EQ(logits.sizes(), (std::vector<int64_t>{3, 5, 22}));
    EXPECT_TRUE(logits.isfinite().all().item<bool>());
    torch::Tensor target = tiny::random_ids(3, 5);
    target[2][4] = 0;
    expect_gradients(network, logits, target);
    const torch::NoGradGuard guard;
    expect_padding_is_invisible(network, inputs, logits.detach());
    expect_generation_is_forward(network, inputs, logits.detach());
    if (HasFailure()) return;  // one variant's messages are enough
  }
}

INSTANTIATE_TEST_SUITE_P(Attention, EveryVariant, ::testing::Values("softmax", "sparsemax", "entmax15"),
                         [](const auto& instance) { return instance.param; });

TEST(GiantRabbitTest, PauseTokensJoinThePrompt) {
  for (const bool encoder : {true, false}) {
    SCOPED_TRACE(encoder);
    GiantRabbit network = tiny::random_network(
        Variant{"sparsemax", "signpost", encoder, 1, "none", "feature", 0, 3}.config(), 4);
    const Inputs inputs = tiny::ragged_inputs();
    const torch::NoGradGuard guard;
    const Memory memory = network->encode(inputs.prompt, inputs.prompt_lengths);
    EXPECT_TRUE(tensors_equal(memory.lengths, inputs.prompt_lengths + 3));
    EXPECT_EQ(memory.states.size(1), 6 + 3);
    for (const auto& matrix : network->hidden_matrices()) {
      EXPECT_FALSE(matrix.weight.is_same(network->named_parameters()["pause"]));
    }
  }
}

TEST(GiantRabbitTest, TraceShowsEverySupport) {
  for (const std::string attention : {"softmax", "sparsemax", "entmax15"}) {
    SCOPED_TRACE(attention);
    ModelConfig config = Variant{attention, "signpost", true, 2, "none", "feature", 3}.config();
    GiantRabbit network = tiny::random_network(config, 5);
    const Inputs inputs = tiny::ragged_inputs();
    const torch::NoGradGuard guard;
    Trace trace;
    const torch::Tensor traced = network->forward(inputs, &trace);
    EXPECT_TRUE(tensors_equal(traced, network->forward(inputs)));
    std::vector<std::string> names;
    for (const AttentionRecord& record : trace.attentions) names.push_back(record.name);
    EXPECT_EQ(names, (std::vector<std::string>{"encoder.0.self", "thought.0.self", "thought.0.cross",
                                               "thought.1.self", "thought.1.cross", "decoder.0.self",
                                               "decoder.0.cross", "decoder.1.self", "decoder.1.cross"}));
    EXPECT_TRUE(
        tensors_equal(trace.thoughts[0], network->encode(inputs.prompt, inputs.prompt_lengths).states));
    for (const AttentionRecord& record : trace.attentions) {
      SCOPED_TRACE(record.name);
      ASSERT_EQ(record.support.row_offsets.size(0), 3 * 2 * record.queries + 1);
      const torch::Tensor counts = record.support.row_offsets.diff();
      const torch::Tensor rows = torch::repeat_interleave(counts);
      const torch::Tensor sums = torch::zeros({counts.size(0)}).index_add(0, rows, record.support.weights);
      EXPECT_TRUE(record.support.weights.gt(0).all().item<bool>());
      const torch::Tensor visible = record.visible.unsqueeze(1).expand({3, 2, record.queries}).flatten();
      // A padded query whose window ends before the first valid key sees nothing.
      EXPECT_TRUE(tensors_close(sums, visible.gt(0).to(torch::kFloat32), 1e-5));
      if (attention == "softmax") {
        EXPECT_TRUE(tensors_equal(counts, visible.contiguous()));
      } else {
        EXPECT_TRUE(counts.le(visible).all().item<bool>());
      }
    }
    const auto visible = [&](size_t i) { return trace.attentions[i].visible; };
    // 5 causal queries with a window of 3; prompts of 6, 4 and 1 tokens; memory and thoughts together.
    EXPECT_TRUE(tensors_equal(visible(5)[1], torch::tensor({1, 2, 3, 3, 3}, torch::kInt64)));
    EXPECT_TRUE(tensors_equal(visible(0)[0], torch::tensor({3, 4, 5, 5, 4, 3}, torch::kInt64)));
    EXPECT_TRUE(tensors_equal(visible(6).select(1, 0), torch::tensor({12, 8, 2}, torch::kInt64)));
  }
}

TEST(GiantRabbitTest, TraceOfGeneration) {
  GiantRabbit network =
      tiny::random_network(Variant{"sparsemax", "signpost", false, 0, "none", "feature", 0}.config(), 6);
  const Inputs inputs = tiny::ragged_inputs();
  const torch::NoGradGuard guard;
  Generation generation = network->start(inputs.prompt, inputs.prompt_lengths);
  Trace trace;
  network->step(generation, inputs.decoder_input.select(1, 0), &trace);
  ASSERT_EQ(trace.attentions.size(), 2u);
  EXPECT_TRUE(
      tensors_equal(trace.attentions[0].visible.select(1, 0), torch::tensor({7, 5, 2}, torch::kInt64)));
}

TEST(GiantRabbitTest, FreshNetworkStartsAsTheIdentity) {
  for (const std::string attention : {"softmax", "sparsemax", "entmax15"}) {
    torch::manual_seed(7);
    GiantRabbit network(Variant{attention, "signpost", true, 2, "none", "feature", 0}.config(),
                        tiny::traits());
    const torch::NoGradGuard guard;
    const Inputs inputs = tiny::ragged_inputs();
    const torch::Tensor embedded =
        network->embedding->decoder(inputs.decoder_input, torch::zeros({1, 1}, torch::kInt64));
    EXPECT_TRUE(tensors_equal(network->forward(inputs),
                              network->output_head->forward(embedded, network->embedding->table())));
  }
}

// The zero starts must not stop learning: after a few plain gradient steps every parameter has moved.
TEST(GiantRabbitTest, FreshNetworkLearnsEverywhere) {
  for (const std::string attention : {"softmax", "sparsemax", "entmax15"}) {
    SCOPED_TRACE(attention);
    torch::manual_seed(8);
    GiantRabbit network(Variant{attention, "signpost", true, 2, "none", "feature", 0}.config(),
                        tiny::traits());
    const Inputs inputs = tiny::ragged_inputs();
    const torch::Tensor target = tiny::random_ids(3, 5);
    for (int step = 0; step < 4; ++step) {
      network->zero_grad();
      sequence_loss(network->config(), network->forward(inputs), target, 0).backward();
      const torch::NoGradGuard guard;
      for (torch::Tensor& parameter : network->parameters()) parameter.sub_(parameter.grad(), 0.5);
    }
    for (const auto& item : network->named_parameters()) {
      EXPECT_GT(item.value().grad().abs().sum().item<float>(), 0) << item.key();
    }
  }
}

TEST(GiantRabbitTest, SameSeedSameWeights) {
  torch::manual_seed(9);
  GiantRabbit first(tiny::config(), tiny::traits());
  torch::manual_seed(9);
  GiantRabbit second(tiny::config(), tiny::traits());
  const Inputs inputs = tiny::ragged_inputs();
  EXPECT_TRUE(tensors_equal(first->forward(inputs).detach(), second->forward(inputs).detach()));
}

TEST(GiantRabbitTest, ThreadsDoNotChangeBits) {
  GiantRabbit network =
      tiny::random_network(Variant{"sparsemax", "signpost", true, 2, "dynamic", "feature", 0}.config(), 10);
  const Inputs inputs = tiny::ragged_inputs();
  const torch::Tensor one = network->forward(inputs).detach();
  at::set_num_threads(2);
  const torch::Tensor two = network->forward(inputs).detach();
  at::set_num_threads(1);
  EXPECT_TRUE(tensors_equal(one, two));
}

TEST(GiantRabbitTest, HiddenMatricesAndTheirParts) {
  GiantRabbit network =
      tiny::random_network(Variant{"softmax", "signpost", true, 2, "none", "feature", 0}.config(), 11);
  int64_t parts = 0, elements = 0;
  for (const auto& [weight, count] : network->hidden_matrices()) {
    EXPECT_EQ(weight.dim(), 2);
    EXPECT_EQ(weight.size(0) % count, 0);
    parts += count;
    elements += weight.numel();
  }
  // Self-attention 3 + 1, cross-attention 1 + 2 + 1, feed-forward 2: encoder 6, thought 10, decoder 2 x 10.
  EXPECT_EQ(parts, 36);
  EXPECT_EQ(elements, (4 * 64 + 256) + 3 * (8 * 64 + 256));
  int64_t total = 0;
  for (const torch::Tensor& parameter : network->parameters()) total += parameter.numel();
  EXPECT_EQ(network->parameter_count(), total);
}

TEST(GiantRabbitTest, EmptyOutputsAndSingleTokens) {
  GiantRabbit network =
      tiny::random_network(Variant{"sparsemax", "rotary", false, 2, "dynamic", "token", 3}.config(), 12);
  const torch::Tensor one = torch::ones({1}, torch::kInt64);
  EXPECT_EQ(network->forward({tiny::ids("RREF"), one, tiny::ids("BOS")}).sizes(),
            (std::vector<int64_t>{1, 1, 22}));
  const torch::Tensor nothing = torch::zeros({1, 0}, torch::kInt64);
  EXPECT_EQ(network->forward({tiny::ids("RREF"), one, nothing}).sizes(), (std::vector<int64_t>{1, 0, 22}));
}

TEST(GiantRabbitTest, RefusesASenselessConfiguration) {
  ModelConfig config = tiny::config();
  config.heads = 3;
  EXPECT_THROW(GiantRabbit(config, tiny::traits()), OptionError);
}

// No model is refused for too few weights; a bound below a third of them would let large ones pass.
TEST(GiantRabbitTest, LeastEntriesAreClose) {
  std::vector<ModelConfig> configs;
  for (const Variant& variant : variants("softmax")) configs.push_back(variant.config());
  configs.push_back(tiny::config());
  for (const std::string projection : {"gated", "strict"}) {
    configs.push_back(tiny::config());
    configs.back().projection = projection;
  }
  configs.push_back(tiny::config());
  configs.back().shared_attention = "lsh";
  for (const ModelConfig& config : configs) {
    const GiantRabbit network(config, tiny::traits());
    int64_t entries = network->parameter_count();
    for (const torch::Tensor& buffer : network->buffers()) entries += buffer.numel();
    const int64_t least = least_entries(config, tiny::traits().size());
    EXPECT_LE(least, entries);
    EXPECT_GE(least, entries / 3);
  }
}

}  // namespace
}  // namespace giantrabbit::model
