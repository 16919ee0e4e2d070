// Patterns on the heads of small random runs: exact attention finds everything, hashing with enough rounds
// does nearly, and what is captured is what the network works on.
#include "eval/patterns.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "eval/attention_cost.h"
#include "eval/pattern_report.h"
#include "eval/peak_memory.h"
#include "eval/shared_heads.h"
#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

model::ModelConfig shared_config(const std::string& attention) {
  model::ModelConfig config = tiny_config();
  config.attention = attention;
  config.shared_attention = "lsh";
  config.lsh_chunk = 4;
  return config;
}

TEST(PatternsTest, RightWordsStandInTheirPlace) {
  EXPECT_DOUBLE_EQ(right_words({"a", "b", "c"}, {"a", "x", "c", "d"}), 0.5);
  EXPECT_DOUBLE_EQ(right_words({"b", "a"}, {"a", "b"}), 0);
  EXPECT_DOUBLE_EQ(right_words({"a", "b", "c"}, {"a"}), 1);
  EXPECT_DOUBLE_EQ(right_words({}, {}), 1);
}

TEST(PatternsTest, ChangesFollowChanges) {
  EXPECT_EQ(with_changes("runs/a", "lsh_rounds=2"), "runs/a@lsh_rounds=2");
  EXPECT_EQ(with_changes("runs/a@window=4", "lsh_rounds=2"), "runs/a@window=4,lsh_rounds=2");
}

TEST(PatternsTest, PeakCountsTensorsThatLiveAtATime) {
  const int64_t peak = peak_allocated([] {
    { const torch::Tensor first = torch::empty({1000}); }
    const torch::Tensor second = torch::empty({3000});
  });
  EXPECT_EQ(peak, 12000);
}

// Attention over the captured heads, merged, is what the module makes of the captured input: here by the
// trace, whose rows of keys are those of the heads.
TEST(PatternsTest, CapturedHeadsAreTheNetworksOwn) {
  const model::ModelConfig config = shared_config("sparsemax");
  model::GiantRabbit network = tiny_network(config, 3);
  const data::Problem problem = some_problems(1).front();
  const data::Words output = data::find_family("RREF").solve(problem.prompt, data::ChainFormat::prod);
  const auto heads = shared_heads(network, data::Vocabulary(), problem.prompt, output);
  const auto layers = shared_layers(network);
  ASSERT_EQ(heads.size(), 1);
  ASSERT_EQ(layers.size(), 1);
  EXPECT_EQ(layers[0].name, "decoder.layers.1.shared_attention");
  EXPECT_EQ(heads[0].query.size(2), static_cast<int64_t>(output.size()));
  const model::Trace trace = trace_output(network, data::Vocabulary(), problem.prompt, output);
  const auto record = std::ranges::find(trace.attentions, "decoder.1.self", &model::AttentionRecord::name);
  ASSERT_NE(record, trace.attentions.end());
  EXPECT_TRUE(record->visible[0].equal(layers[0].attention->visible(heads[0].query).sum(-1)[0][0]));
  EXPECT_TRUE(shared_layers(tiny_network(tiny_config(), 3)).empty());
}

TEST(PatternsTest, AllEarlierKeysAreExactAndEveryPatternIsMeasured) {
  for (const char* attention : {"softmax", "sparsemax"}) {
    const std::string name = std::string("patterns-") + attention;
    const std::filesystem::path directory = write_tiny_run(name, shared_config(attention), 5);
    eval::Run run = load_run(directory);
    const std::vector<data::Problem> problems = some_problems(2);
    const PatternReport report = compare_patterns(directory.string(), run, problems, {1, 4});
    ASSERT_EQ(report.lines.size(), 7);
    EXPECT_EQ(report.traced, 2);
    EXPECT_EQ(report.mass, run.config.attention == "softmax" ? 0.9 : 1.0);
    const PatternLine& full = report.lines.front();
    EXPECT_EQ(full.pattern, "full");
    EXPECT_NEAR(full.recall, 1, 1e-9);
    EXPECT_NEAR(full.mass, 1, 1e-6) << "fp32 weights of a row sum to 1 within its rounding";
    EXPECT_EQ(full.error, 0);
    EXPECT_EQ(full.time_ratio, 1);
    for (const PatternLine& line : report.lines) {
      EXPECT_LE(line.keys, full.keys);
      EXPECT_GE(line.recall, 0);
      EXPECT_LE(line.mass, 1 + 1e-6);
      EXPECT_EQ(line.exact.total, 2);
      EXPECT_GT(line.seconds, 0);
      EXPECT_GT(line.peak_bytes, 0);
    }
    // Lines are lsh, window, random with 1 round, then with 4.
    for (size_t i = 1; i <= 3; ++i) {
      EXPECT_GT(report.lines[i + 3].keys, report.lines[i].keys) << report.lines[i].pattern;
      EXPECT_GT(report.lines[i + 3].mass, report.lines[i].mass) << report.lines[i].pattern;
    }
    EXPECT_EQ(pattern_table(report, "a run").rows.size(), 7);
    EXPECT_EQ(pattern_plot(report, "a run").series.size(), 7);
  }
}

TEST(PatternsTest, MoreKeysThanThereAreFindEverything) {
  model::ModelConfig config = shared_config("entmax15");
  config.lsh_chunk = 512;
  const std::filesystem::path directory = write_tiny_run("patterns-wide", config, 6);
  eval::Run run = load_run(directory);
  const PatternReport report = compare_patterns(directory.string(), run, some_problems(1), {1});
  for (const PatternLine& line : report.lines) {
    EXPECT_NEAR(line.recall, 1, 1e-9) << line.pattern;
    EXPECT_LT(line.error, 1e-5) << line.pattern << ": the same sums in another order, in fp32";
  }
}

}  // namespace
}  // namespace giantrabbit::eval
