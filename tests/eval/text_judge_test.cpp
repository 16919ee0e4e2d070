// Predicting and writing text: windows count every character once, bits are those of generation character by
// character, and drawing follows the model's probabilities.
#include "eval/text_judge.h"

#include <cmath>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "data/text_source.h"
#include "eval/text_sample.h"

namespace giantrabbit::eval {
namespace {

Run text_run(const std::string& position) {
  Run run;
  run.name = "tiny";
  run.task.task = "text";
  run.config.width = 16;
  run.config.heads = 2;
  run.config.feed_forward = 32;
  run.config.decoder_layers = 2;
  run.config.encoder = false;
  run.config.thought_steps = 0;
  run.config.position = position;
  run.config.max_positions = 64;
  run.vocabulary = data::text_vocabulary();
  torch::manual_seed(81);
  run.network = model::GiantRabbit(run.config, token_traits(run.vocabulary));
  const torch::NoGradGuard no_grad;
  // Parameters of fresh models hide attention; these give characters probabilities that differ widely.
  for (torch::Tensor& parameter : run.network->parameters()) parameter.normal_(0, 0.3);
  run.network->eval();
  return run;
}

// Logits behind every character of `text`, [i]: behind the first i of them; the modules, one step at a time.
std::vector<torch::Tensor> stepped_logits(Run& run, const std::string& text) {
  const torch::NoGradGuard no_grad;
  model::Generation generation =
      run.network->start(torch::empty({1, 0}, torch::kInt64), torch::zeros({1}, torch::kInt64));
  std::vector<int64_t> tokens = data::byte_ids(text);
  tokens.insert(tokens.begin(), data::Vocabulary::bos);
  std::vector<torch::Tensor> logits;
  for (const int64_t token : tokens) {
    logits.push_back(run.network->step(generation, torch::tensor({token})).squeeze(0));
  }
  return logits;
}

TEST(TextWindowTest, EveryCharacterIsCountedOnceBehindHalfAWindow) {
  for (const int64_t length : {2, 7, 8}) {
    for (int64_t size = length; size < 4 * length; ++size) {
      SCOPED_TRACE(testing::Message() << length << " in " << size);
      int64_t judged = 0;
      for (const TextWindow& window : covering_windows(size, length)) {
        const int64_t end = window.begin + window.length;
        EXPECT_EQ(end - window.counted, judged);
        EXPECT_LE(window.length, length);
        EXPECT_GT(window.counted, 0);
        if (window.begin > 0) {
          EXPECT_GE(window.length - window.counted, length / 2);
        } else {
          EXPECT_EQ(window.counted, length);
        }
        judged = end;
      }
      EXPECT_EQ(judged, size);
    }
  }
  EXPECT_EQ(covering_windows(100, 10, 3).size(), 3U);
  EXPECT_EQ(covering_windows(100, 10, 3).back().begin, 10);
}

TEST(TextWindowTest, FewWindowsAreSpreadOverTheText) {
  const std::vector<TextWindow> windows = spread_windows(1000, 10, 4);
  ASSERT_EQ(windows.size(), 4U);
  for (size_t i = 1; i < 4; ++i) EXPECT_NEAR(windows[i].begin - windows[i - 1].begin, 250, 5);
  EXPECT_EQ(spread_windows(30, 10, 500).size(), covering_windows(30, 10).size());
}

TEST(TextJudgeTest, BitsAreThoseOfGeneration) {
  const std::string text = "In the beginning\n\xc3\xa4 and a word behind it";
  for (const std::string position : {"rotary", "learned", "sinusoidal", "signpost"}) {
    SCOPED_TRACE(position);
    auto run = text_run(position);
    run.network->train();
    const std::vector<TextWindow> windows = covering_windows(std::ssize(text), 12);
    const std::vector<double> bits = character_bits(run.network, text, windows);
    EXPECT_TRUE(run.network->is_training());
    ASSERT_EQ(bits.size(), text.size());
    size_t at = 0;
    for (const TextWindow& window : windows) {
      const std::string seen =
          text.substr(static_cast<size_t>(window.begin), static_cast<size_t>(window.length));
      const std::vector<torch::Tensor> logits = stepped_logits(run, seen);
      for (size_t i = seen.size() - static_cast<size_t>(window.counted); i < seen.size(); ++i, ++at) {
        const double expected =
            -logits[i].to(torch::kFloat64).log_softmax(0)[data::byte_id(seen[i])].item<double>() /
            std::log(2.0);
        // fp32 logits of size 10 summed in another order: 1e-6 each.
        EXPECT_NEAR(bits[at], expected, 1e-4) << at;
      }
    }
  }
}

TEST(TextJudgeTest, UniformLogitsCostTheLogarithmOfTheVocabulary) {
  auto run = text_run("rotary");
  const torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : run.network->parameters()) parameter.zero_();
  const std::string text(20, 'x');
  for (const double bits : character_bits(run.network, text, covering_windows(20, 20))) {
    EXPECT_NEAR(bits, std::log2(263), 1e-5);
  }
}

TEST(TextSampleTest, GreedyTextIsTheMostLikelyOneOfTheModules) {
  auto run = text_run("rotary");
  const std::string start = "In the";
  const std::string text = write_text(run, {start, 30, 0, 1});
  ASSERT_EQ(text.size(), 30U);
  const std::vector<torch::Tensor> logits = stepped_logits(run, start + text);
  for (size_t i = 0; i < text.size(); ++i) {
    const torch::Tensor of_bytes = logits[start.size() + i].narrow(0, data::byte_id('\0'), 256);
    // The most likely one but for rounding.
    EXPECT_GE(of_bytes[static_cast<unsigned char>(text[i])].item<double>(),
              of_bytes.max().item<double>() - 1e-4)
        << i;
  }
}

TEST(TextSampleTest, TheSeedDecidesAndTemperatureFollowsTheProbabilities) {
  const auto run = text_run("rotary");
  EXPECT_EQ(write_text(run, {"a", 40, 1, 7}), write_text(run, {"a", 40, 1, 7}));
  EXPECT_NE(write_text(run, {"a", 40, 1, 7}), write_text(run, {"a", 40, 1, 8}));
  EXPECT_EQ(write_text(run, {"", 0, 1, 7}), "");

  auto stepped = run;
  const double temperature = 0.7;
  const torch::Tensor law =
      (stepped_logits(stepped, "a")[1].narrow(0, data::byte_id('\0'), 256) / temperature).softmax(0);
  const auto likely = law.argmax().item<int64_t>();
  const double expected = law.max().item<double>();
  int count = 0;
  constexpr int draws = 400;
  for (uint64_t seed = 0; seed < draws; ++seed) {
    const std::string text = write_text(run, {"a", 1, temperature, seed});
    count += static_cast<unsigned char>(text[0]) == likely;
  }
  // Five deviations of a binomial share.
  EXPECT_NEAR(count, draws * expected, 5 * std::sqrt(draws * expected * (1 - expected)) + 1);
}

TEST(TextSampleTest, PositionsEndWhereTheTableEnds) {
  EXPECT_EQ(longest_text(text_run("learned")), 64);
  EXPECT_EQ(longest_text(text_run("rotary")), INT64_MAX);
  EXPECT_EQ(write_text(text_run("learned"), {"ab", 62, 1, 1}).size(), 62U);
}

TEST(TextSampleTest, TerminalsSeePrintableCharactersOnly) {
  EXPECT_EQ(visible("a~ \n"), "a~ \n");
  EXPECT_EQ(visible("\x1b[2J\t\x7f\xc3\xa4"), "\\x1b[2J\\x09\\x7f\\xc3\\xa4");
}

}  // namespace
}  // namespace giantrabbit::eval
