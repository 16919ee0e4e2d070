// Decoding with a cache against whole forward passes, alone and in batches, for every kind of model.
#include "eval/decode.h"

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "data/batch.h"
#include "eval/evaluator.h"
#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

// Two orders of summation in fp32 differ by about 1e-6 of logits near 1 through a few layers; a gap below
// this is a tie that either choice may win.
constexpr double tie = 1e-4;

std::vector<data::Words> prompts_of(const std::vector<data::Problem>& problems) {
  std::vector<data::Words> prompts;
  for (const data::Problem& problem : problems) prompts.push_back(problem.prompt);
  return prompts;
}

// Logits [U, V] of a whole forward pass over an output.
torch::Tensor forced_logits(model::GiantRabbit& network, const data::Words& prompt,
                            const data::Words& output) {
  const torch::NoGradGuard no_grad;
  const data::Vocabulary vocabulary;
  data::Example example;
  example.prompt = vocabulary.encode(prompt);
  example.target = vocabulary.encode(output);
  const data::Batch batch = data::make_batch(std::span(&example, 1));
  return network->forward({batch.prompt, batch.prompt_lengths, batch.decoder_input}).squeeze(0);
}

void expect_greedy(model::GiantRabbit& network, const data::Words& prompt, const data::Words& output) {
  if (output.empty()) return;
  const torch::Tensor logits = forced_logits(network, prompt, output);
  const torch::Tensor best = std::get<0>(logits.max(-1));
  const data::Vocabulary vocabulary;
  for (size_t word = 0; word < output.size(); ++word) {
    const auto row = static_cast<int64_t>(word);
    const double gap = best[row].item<double>() - logits[row][vocabulary.id(output[word])].item<double>();
    EXPECT_LE(gap, tie) << "word " << word << " of " << data::join_words(output);
  }
}

// Equal, or different from a tie on.
void expect_same_up_to_ties(model::GiantRabbit& network, const data::Words& prompt, const data::Words& a,
                            const data::Words& b) {
  const auto [in_a, in_b] = std::ranges::mismatch(a, b);
  if (in_a == a.end() && in_b == b.end()) return;
  ASSERT_TRUE(in_a != a.end() && in_b != b.end())
      << data::join_words(a) << " against " << data::join_words(b);
  const auto row = static_cast<int64_t>(in_a - a.begin());
  const torch::Tensor logits = forced_logits(network, prompt, a)[row];
  const data::Vocabulary vocabulary;
  const double gap =
      logits[vocabulary.id(*in_a)].item<double>() - logits[vocabulary.id(*in_b)].item<double>();
  EXPECT_LE(std::abs(gap), tie) << "first difference at word " << row;
}

struct Variant {
  std::string name;
  void (*change)(model::ModelConfig& config);
};

std::vector<Variant> variants() {
  return {
      {"softmax", [](model::ModelConfig&) {}},
      {"sparsemax", [](model::ModelConfig& config) { config.attention = "sparsemax"; }},
      {"entmax15", [](model::ModelConfig& config) { config.attention = "entmax15"; }},
      {"rotary", [](model::ModelConfig& config) { config.position = "rotary"; }},
      {"learned", [](model::ModelConfig& config) { config.position = "learned"; }},
      {"sinusoidal", [](model::ModelConfig& config) { config.position = "sinusoidal"; }},
      {"window", [](model::ModelConfig& config) { config.window = 3; }},
      {"no_thoughts", [](model::ModelConfig& config) { config.thought_steps = 0; }},
      {"no_encoder",
       [](model::ModelConfig& config) {
         config.encoder = false;
         config.encoder_layers = 0;
       }},
      {"no_encoder_no_thoughts",
       [](model::ModelConfig& config) {
         config.encoder = false;
         config.encoder_layers = 0;
         config.thought_steps = 0;
         config.window = 4;
       }},
      {"token_masks",
       [](model::ModelConfig& config) {
         config.mask = "dynamic";
         config.mask_granularity = "token";
         config.keep_fraction = 0.5;
         config.thought_steps = 2;
       }},
  };
}

class DecodeVariantTest : public testing::TestWithParam<Variant> {};

TEST_P(DecodeVariantTest, CachedDecodingIsGreedyAndIndependentOfTheBatch) {
  model::ModelConfig config = tiny_config();
  GetParam().change(config);
  model::GiantRabbit network = tiny_network(config, 7);
  const data::Vocabulary vocabulary;
  const std::vector<data::Words> prompts = prompts_of(some_problems(20));
  std::vector<int64_t> limits;  // different ones, so that sequences leave the batch one after the other
  for (size_t index = 0; index < prompts.size(); ++index)
    limits.push_back(1 + static_cast<int64_t>(index * 7 % 23));

  const Decoded alone = decode_greedy(network, vocabulary, prompts, limits, 1);
  const Decoded together = decode_greedy(network, vocabulary, prompts, limits, 64);
  ASSERT_EQ(alone.outputs.size(), prompts.size());
  int64_t tokens = 0;
  for (size_t index = 0; index < prompts.size(); ++index) {
    const data::Words& output = together.outputs[index];
    tokens += std::ssize(output);
    ASSERT_FALSE(output.empty());
    EXPECT_TRUE(output.back() == vocabulary.word(data::Vocabulary::eos) ||
                std::ssize(output) == limits[index]);
    expect_greedy(network, prompts[index], output);
    expect_same_up_to_ties(network, prompts[index], alone.outputs[index], output);
  }
  EXPECT_EQ(together.tokens, tokens);
}

INSTANTIATE_TEST_SUITE_P(Models, DecodeVariantTest, testing::ValuesIn(variants()),
                         [](const auto& variant) { return variant.param.name; });

TEST(DecodeTest, RoundedWeightsWriteTheSameInEveryBatch) {
  model::GiantRabbit network = tiny_network(tiny_config(), 9);
  const std::vector<data::Words> prompts = prompts_of(some_problems(1));
  const std::vector<data::Words> copies(5, prompts.front());
  const std::vector<int64_t> limits{3, 9, 20, 9, 1};
  for (const auto weights : {model::WeightType::bfloat16, model::WeightType::int8}) {
    const std::vector<int64_t> limit{20};
    const Decoded alone = decode_greedy(network, data::Vocabulary(), prompts, limit, 1, weights);
    const Decoded together = decode_greedy(network, data::Vocabulary(), copies, limits, 5, weights);
    ASSERT_GE(alone.outputs[0].size(), 1U);
    for (size_t copy = 0; copy < copies.size(); ++copy) {
      const auto length = std::min(alone.outputs[0].size(), static_cast<size_t>(limits[copy]));
      const data::Words expected(alone.outputs[0].begin(), alone.outputs[0].begin() + length);
      EXPECT_EQ(together.outputs[copy], expected);
    }
  }
}

TEST(DecodeTest, NothingToDecode) {
  model::GiantRabbit network = tiny_network(tiny_config(), 1);
  const Decoded decoded = decode_greedy(network, data::Vocabulary(), {}, {});
  EXPECT_TRUE(decoded.outputs.empty());
  EXPECT_EQ(decoded.tokens, 0);
  const std::vector<data::Words> prompts = prompts_of(some_problems(2));
  const std::vector<int64_t> limits{0, 3};
  const Decoded limited = decode_greedy(network, data::Vocabulary(), prompts, limits);
  EXPECT_TRUE(limited.outputs[0].empty());
  EXPECT_LE(limited.outputs[1].size(), 3U);
}

TEST(DecodeTest, RejectsMismatchedArguments) {
  model::GiantRabbit network = tiny_network(tiny_config(), 1);
  const std::vector<data::Words> prompts = prompts_of(some_problems(2));
  const std::vector<int64_t> one{5};
  const std::vector<int64_t> two{5, 5};
  EXPECT_THROW(decode_greedy(network, data::Vocabulary(), prompts, one), std::invalid_argument);
  EXPECT_THROW(decode_greedy(network, data::Vocabulary(), prompts, two, 0), std::invalid_argument);
  const std::vector<data::Words> foreign{{"RREF", "no-such-word"}, {"RREF", "1", ";"}};
  EXPECT_THROW(decode_greedy(network, data::Vocabulary(), foreign, two), data::ProblemError);
}

TEST(DecodeTest, StopsAtThePositionTable) {
  model::ModelConfig config = tiny_config();
  config.max_positions = 8;
  model::GiantRabbit network = tiny_network(config, 3);
  const std::vector<data::Words> prompts = prompts_of(some_problems(4));
  const std::vector<int64_t> limits(prompts.size(), 100);
  for (const data::Words& output : decode_greedy(network, data::Vocabulary(), prompts, limits).outputs) {
    EXPECT_LE(output.size(), 8U);
  }
}

TEST(DecodeTest, PauseTokensTakePositionsWithoutAnEncoder) {
  model::ModelConfig config = tiny_config();
  config.encoder = false;
  config.thought_steps = 0;
  config.pause_tokens = 30;
  const std::vector<data::Words> prompts = prompts_of(some_problems(1));
  config.max_positions = std::ssize(prompts.front()) + config.pause_tokens + 4;
  model::GiantRabbit network = tiny_network(config, 3);
  const std::vector<int64_t> limits{100};
  const Decoded decoded = decode_greedy(network, data::Vocabulary(), prompts, limits);
  EXPECT_LE(decoded.outputs.at(0).size(), 4U);
  EXPECT_EQ(position_limit(config, std::ssize(prompts.front())), 4);
}

TEST(DecodeTest, KeepsTheCallersMode) {
  model::GiantRabbit network = tiny_network(tiny_config(), 1);
  const std::vector<data::Words> prompts = prompts_of(some_problems(1));
  const std::vector<int64_t> limits{2};
  network->train();
  decode_greedy(network, data::Vocabulary(), prompts, limits);
  EXPECT_TRUE(network->is_training());
  EXPECT_TRUE(torch::GradMode::is_enabled());
}

TEST(DecodeTest, TimesEveryTokenOfASinglePrompt) {
  model::GiantRabbit network = tiny_network(tiny_config(), 5);
  const std::vector<data::Words> prompts = prompts_of(some_problems(1));
  const std::vector<int64_t> limits{9};
  const Decoded decoded = decode_greedy(network, data::Vocabulary(), prompts, limits);
  EXPECT_EQ(std::ssize(decoded.step_seconds), std::ssize(decoded.outputs[0]));
  double sum = 0;
  for (const double seconds : decoded.step_seconds) sum += seconds;
  EXPECT_GT(sum, 0);
  EXPECT_LE(sum, decoded.seconds.decode);
  EXPECT_GT(decoded.seconds.encode, 0);
  EXPECT_GT(decoded.seconds.think, 0);
}

TEST(EvaluatorTest, JudgesEveryProblemInOrder) {
  model::GiantRabbit network = tiny_network(tiny_config(), 5);
  const std::vector<data::Problem> problems = some_problems(6);
  const Evaluation evaluation = evaluate(network, data::Vocabulary(), problems, data::ChainFormat::prod);
  ASSERT_EQ(evaluation.items.size(), problems.size());
  for (size_t index = 0; index < problems.size(); ++index) {
    EXPECT_EQ(evaluation.items[index].problem.prompt, problems[index].prompt);
    EXPECT_LE(std::ssize(evaluation.items[index].output),
              output_limit(problems[index], data::ChainFormat::prod));
    EXPECT_GT(evaluation.items[index].verdict.reference_steps, 0);
  }
}

TEST(EvaluatorTest, LimitIsTwiceTheReference) {
  const data::Problem problem = data::parse_problem("RREF 1 2 3 ; 4 5 6 ; 7 8 10");
  const data::Words reference = data::find_family("RREF").solve(problem.prompt, data::ChainFormat::prod);
  EXPECT_EQ(output_limit(problem, data::ChainFormat::prod), 2 * std::ssize(reference));
}

}  // namespace
}  // namespace giantrabbit::eval
