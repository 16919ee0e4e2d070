// The script of a model against the model: names and weights, logits at several shapes, thoughts and greedy
// generation, for every option of the configuration, with the operators of ops/ and with LibTorch's alone.
#include "model/script/script_module.h"

#include <functional>

#include <gtest/gtest.h>

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "tests/model/tiny_model.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::model {
namespace {

using test_support::tensors_close;
using test_support::tensors_equal;

// The logits' own rounding: two orders of the same fp32 sums, relative to the largest logit.
constexpr double tolerance = 1e-5;

struct Case {
  std::string name;
  std::function<void(ModelConfig&)> change;
};

ScriptOptions options(bool portable) { return {tiny::words(), 0, 1, 2, portable}; }

torch::jit::Module reloaded(const GiantRabbit& network, bool portable) {
  return load_script(save_script(make_script_module(network, options(portable))));
}

// Prompts of different lengths, the last words of which are padding, and decoder tokens.
Inputs inputs_of(int64_t batch, int64_t prompt, int64_t output) {
  Inputs inputs{tiny::random_ids(batch, prompt), {}, tiny::random_ids(batch, output)};
  inputs.prompt_lengths = prompt - torch::arange(batch).remainder(std::max<int64_t>(prompt, 1));
  const torch::Tensor padding = torch::arange(prompt).unsqueeze(0).ge(inputs.prompt_lengths.unsqueeze(1));
  inputs.prompt = inputs.prompt.masked_fill(padding, 0);
  return inputs;
}

// Greedy decoding by the model's own steps.
torch::Tensor greedy(GiantRabbit& network, const Inputs& inputs, int64_t limit) {
  const int64_t batch = inputs.prompt.size(0);
  Generation generation = network->start(inputs.prompt, inputs.prompt_lengths);
  torch::Tensor token = torch::full({batch}, 1, torch::kInt64);
  torch::Tensor done = torch::zeros({batch}, torch::kBool);
  std::vector<torch::Tensor> columns;
  while (static_cast<int64_t>(columns.size()) < limit && !done.all().item<bool>()) {
    token = network->step(generation, token).argmax(-1);
    columns.push_back(token.masked_fill(done, 0));
    done = done.logical_or(token.eq(2));
  }
  return columns.empty() ? torch::zeros({batch, 0}, torch::kInt64) : torch::stack(columns, 1);
}

void expect_same(GiantRabbit& network, torch::jit::Module& module, const Inputs& inputs) {
  const torch::Tensor expected = network->forward(inputs);
  const torch::Tensor actual = module.forward({inputs.prompt, inputs.decoder_input}).toTensor();
  EXPECT_TRUE(
      tensors_close(actual, expected, tolerance * std::max(1.0F, expected.abs().max().item<float>())));
  const int64_t room =
      network->config().max_positions - inputs.prompt.size(1) - network->config().pause_tokens;
  for (const int64_t limit : {int64_t{0}, std::min<int64_t>(room, 14)}) {
    const torch::Tensor tokens = module.run_method("generate", inputs.prompt, limit).toTensor();
    EXPECT_TRUE(tensors_equal(tokens, greedy(network, inputs, limit)));
  }
}

void expect_same_thoughts(GiantRabbit& network, torch::jit::Module& module, const Inputs& inputs) {
  const Memory encoded = network->encode(inputs.prompt, inputs.prompt_lengths);
  const auto script = module.run_method("encode", inputs.prompt).toTuple();
  EXPECT_TRUE(tensors_close(script->elements()[0].toTensor(), encoded.states, tolerance, tolerance));
  EXPECT_TRUE(tensors_equal(script->elements()[1].toTensor(), encoded.lengths));
  if (network->config().thought_steps == 0) return;
  Trace trace;
  network->think(encoded, &trace);
  const auto thoughts = module.run_method("think", script->elements()[0], script->elements()[1])
                            .toTuple()
                            ->elements()[0]
                            .toTensorVector();
  ASSERT_EQ(thoughts.size(), trace.thoughts.size());
  for (size_t t = 0; t < thoughts.size(); ++t) {
    EXPECT_TRUE(tensors_close(thoughts[t], trace.thoughts[t], tolerance, tolerance)) << "thought " << t;
  }
}

void expect_same_everywhere(const Case& variant, const std::string& attention, uint64_t seed) {
  const torch::NoGradGuard no_grad;
  ModelConfig config = tiny::config();
  config.attention = attention;
  variant.change(config);
  GiantRabbit network = tiny::random_network(config, seed);
  network->eval();
  for (const bool portable : {false, true}) {
    SCOPED_TRACE(variant.name + " " + attention + (portable ? " portable" : "") + " seed " +
                 std::to_string(seed));
    torch::jit::Module module = reloaded(network, portable);
    for (const auto& [batch, prompt, output] : {std::array{3L, 6L, 5L}, {1L, 1L, 1L}, {2L, 11L, 8L}}) {
      SCOPED_TRACE(std::to_string(batch) + " x " + std::to_string(prompt) + " -> " + std::to_string(output));
      const Inputs inputs = inputs_of(batch, prompt, output);
      expect_same(network, module, inputs);
      expect_same_thoughts(network, module, inputs);
    }
  }
}

// Every case with one of the attentions, which take turns: the scripts differ in them in two functions only.
// LibTorch's optimiser, half of the time, is left to the test of the attentions.
void expect_same_everywhere(const std::vector<Case>& cases) {
  const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);
  static const std::vector<std::string> attentions = {"softmax", "sparsemax", "entmax15"};
  for (size_t i = 0; i < cases.size(); ++i) {
    expect_same_everywhere(cases[i], attentions[i % attentions.size()], i + 1);
    if (::testing::Test::HasFailure()) return;  // one case's messages are enough
  }
}

TEST(ScriptModuleTest, Attentions) {
  for (const std::string attention : {"softmax", "sparsemax", "entmax15"}) {
    expect_same_everywhere({"T=0", [](ModelConfig&) {}}, attention, 1);
    expect_same_everywhere({"T=2", [](ModelConfig& config) { config.thought_steps = 2; }}, attention, 2);
  }
}

TEST(ScriptModuleTest, Positions) {
  std::vector<Case> cases;
  for (const std::string position : {"signpost", "learned", "axial", "sinusoidal", "rotary"}) {
    for (const bool encoder : {true, false}) {
      cases.push_back({position + (encoder ? "" : " no-encoder"), [=](ModelConfig& config) {
                         config.position = position;
                         config.encoder = encoder;
                         config.window = encoder ? 0 : 3;
                       }});
    }
  }
  expect_same_everywhere(cases);
}

TEST(ScriptModuleTest, ThoughtsAndMasks) {
  std::vector<Case> cases;
  for (const bool encoder : {true, false}) {
    cases.push_back({"T=2", [=](ModelConfig& config) {
                       config.thought_steps = 2;
                       config.encoder = encoder;
                       config.window = 3;
                     }});
    for (const std::string mask : {"static", "dynamic", "random", "recency"}) {
      for (const std::string granularity : {"feature", "token"}) {
        if (mask == "recency" && granularity == "feature") continue;
        cases.push_back({mask + " " + granularity, [=](ModelConfig& config) {
                           config.thought_steps = 3;
                           config.encoder = encoder;
                           config.mask = mask;
                           config.mask_granularity = granularity;
                           config.keep_fraction = 0.6;
                         }});
      }
    }
  }
  expect_same_everywhere(cases);
}

TEST(ScriptModuleTest, EmbeddingsProjectionsAndPauses) {
  expect_same_everywhere({
      {"no number features", [](ModelConfig& config) { config.number_features = false; }},
      {"largest entries", [](ModelConfig& config) { config.keep_fraction = 0.5; }},
      {"random entries",
       [](ModelConfig& config) {
         config.keep_fraction = 0.5;
         config.embedding_mask = "random";
       }},
      {"gated", [](ModelConfig& config) { config.projection = "gated"; }},
      {"strict",
       [](ModelConfig& config) {
         config.projection = "strict";
         config.projection_temperature = 0.7;
       }},
      {"pauses", [](ModelConfig& config) { config.pause_tokens = 3; }},
      {"pauses, no encoder",
       [](ModelConfig& config) {
         config.pause_tokens = 3;
         config.encoder = false;
       }},
      {"scale, odd width",
       [](ModelConfig& config) {
         config.score_scale = 0.8;
         config.width = 9;
         config.heads = 3;
         config.position = "sinusoidal";
       }},
  });
}

TEST(ScriptModuleTest, SharedAttention) {
  std::vector<Case> cases;
  for (const std::string pattern : {"lsh", "full", "window", "random"}) {
    for (const bool encoder : {true, false}) {
      cases.push_back({pattern + (encoder ? "" : " no-encoder"), [=](ModelConfig& config) {
                         config.shared_attention = pattern;
                         config.encoder = encoder;
                         config.lsh_rounds = 2;
                         config.lsh_chunk = 2;
                         config.lsh_buckets = 4;
                       }});
    }
  }
  expect_same_everywhere(cases);
}

TEST(ScriptModuleTest, NamesAndWeightsAreTheModels) {
  ModelConfig config = tiny::config();
  config.thought_steps = 1;
  config.pause_tokens = 1;
  config.shared_attention = "lsh";
  GiantRabbit network = tiny::random_network(config, 1);
  network->eval();
  const torch::jit::Module module = reloaded(network, /*portable=*/false);
  const auto expect_equal = [](const auto& expected, const auto& actual) {
    size_t count = 0;
    for (const auto& item : actual) {
      ++count;
      ASSERT_TRUE(expected.contains(item.name)) << item.name;
      EXPECT_TRUE(tensors_equal(item.value, expected[item.name])) << item.name;
    }
    EXPECT_EQ(count, expected.size());
  };
  expect_equal(network->named_parameters(), module.named_parameters());
  expect_equal(network->named_buffers(), module.named_buffers());
  EXPECT_EQ(module.attr("words").toListRef()[4].toStringRef(), "NL");
  EXPECT_EQ(module.attr("eos").toInt(), 2);
}

TEST(ScriptModuleTest, GradientsAreTheModels) {
  for (const bool portable : {false, true}) {
    SCOPED_TRACE(portable);
    ModelConfig config = tiny::config();
    config.attention = "entmax15";
    config.thought_steps = 1;
    GiantRabbit network = tiny::random_network(config, 2);
    network->eval();
    torch::jit::Module module = reloaded(network, portable);
    const Inputs inputs = inputs_of(2, 5, 4);
    const torch::Tensor direction = torch::randn({2, 4, 22});
    (network->forward(inputs) * direction).sum().backward();
    (module.forward({inputs.prompt, inputs.decoder_input}).toTensor() * direction).sum().backward();
    const auto expected = network->named_parameters();
    for (const auto& item : module.named_parameters()) {
      const torch::Tensor& gradient = expected[item.name].grad();
      // Sums over all tokens, in another order; layer norms of width 8 enlarge differences some ten times.
      EXPECT_TRUE(tensors_close(item.value.grad(), gradient,
                                1e-4 * std::max(1.0F, gradient.abs().max().item<float>())))
          << item.name;
    }
  }
}

// Operators of this library that a module calls.
int64_t own_operators(const torch::jit::Module& module) {
  int64_t count = 0;
  for (const torch::jit::Function* function : module._ivalue()->compilation_unit()->get_functions()) {
    const std::string graph = torch::jit::toGraphFunction(*function).graph()->toString();
    for (size_t at = graph.find(" giantrabbit::"); at != std::string::npos;
         at = graph.find(" giantrabbit::", at + 1)) {
      ++count;
    }
  }
  return count;
}

TEST(ScriptModuleTest, PortableScriptsNeedNoLibrary) {
  ModelConfig config = tiny::config();
  config.attention = "sparsemax";
  config.thought_steps = 1;
  config.mask = "dynamic";
  config.mask_granularity = "token";
  config.shared_attention = "lsh";
  GiantRabbit network = tiny::random_network(config, 6);
  network->eval();
  // squared_relu, attend, attend_biased, received_mass and hashing with its buckets: each once, as a
  // function.
  EXPECT_EQ(own_operators(reloaded(network, /*portable=*/false)), 6);
  EXPECT_EQ(own_operators(reloaded(network, /*portable=*/true)), 0);
}

TEST(ScriptModuleTest, TextsTravelWithTheFile) {
  GiantRabbit network = tiny::random_network(tiny::config(), 3);
  network->eval();
  const std::string bytes =
      save_script(make_script_module(network, options(true)), {{"config.toml", "a = 1\n"}});
  ScriptFiles files{{"config.toml", ""}};
  load_script(bytes, &files);
  EXPECT_EQ(files["config.toml"], "a = 1\n");
}

TEST(ScriptModuleTest, Refusals) {
  ModelConfig config = tiny::config();
  GiantRabbit network = tiny::random_network(config, 4);
  const auto message = [](GiantRabbit& of) {
    try {
      make_script_module(of, options(false));
    } catch (const c10::Error& error) {
      return std::string(error.what_without_backtrace());
    }
    return std::string("none");
  };
  EXPECT_EQ(message(network), "export: expected a model in evaluation mode");
  config.shared_attention = "random";
  config.max_positions = 1 << 20;
  config.position = "rotary";
  network = tiny::random_network(config, 4);
  network->eval();
  EXPECT_NE(message(network).find("model.shared_attention random"), std::string::npos);
}

TEST(ScriptModuleTest, PositionsOutsideTheTableAreAnError) {
  const torch::NoGradGuard no_grad;
  GiantRabbit network = tiny::random_network(tiny::config(), 5);
  network->eval();
  torch::jit::Module module = reloaded(network, /*portable=*/true);
  EXPECT_THROW(module.forward({tiny::random_ids(1, 3), tiny::random_ids(1, 33)}), std::exception);
  // The table ends generation, as it ends decode_greedy().
  EXPECT_LE(module.run_method("generate", tiny::random_ids(1, 3), 100).toTensor().size(1), 32);
}

}  // namespace
}  // namespace giantrabbit::model
