// Lines through times, their crossings, the forced chain, and a short climb of two tiny runs.
#include "eval/ladder.h"

#include <gtest/gtest.h>

#include "model/option_set.h"
#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

TEST(LadderTest, LineAndCrossings) {
  const std::vector<double> positions = {10, 20, 40};
  const TimeLine line = fit_line(positions, std::vector<double>{3, 5, 9});
  EXPECT_NEAR(line.slope, 0.2, 1e-12);
  EXPECT_NEAR(line.intercept, 1, 1e-12);
  EXPECT_NEAR(line.crossover().value(), 5, 1e-9);
  EXPECT_FALSE((TimeLine{1, 0}.crossover().has_value()));
  EXPECT_FALSE((TimeLine{-1, 1}.crossover().has_value()));
  // 1 + 0.2 x and 2 + 0.1 x meet at 10.
  EXPECT_NEAR(overtaking(line, {2, 0.1}).value(), 10, 1e-9);
  EXPECT_EQ(overtaking(line, {0.5, 0.1}).value(), 0);
  EXPECT_FALSE(overtaking(line, {0.5, 0.3}).has_value());
  EXPECT_THROW(fit_line(std::vector<double>{1, 1}, std::vector<double>{1, 2}), std::invalid_argument);
}

TEST(LadderTest, ForcedChainHasTheLengthAndStartsWithTheLongest) {
  const ForcedChain chain = forced_chain({}, 500);
  EXPECT_EQ(chain.words.size(), 500u);
  EXPECT_GT(chain.first_chain, 60);
  EXPECT_EQ(chain.words[static_cast<size_t>(chain.first_chain - 1)], "EOS");
  EXPECT_EQ(std::ranges::find(chain.words, "EOS") - chain.words.begin(), chain.first_chain - 1);
  EXPECT_EQ(chain.words, forced_chain({}, 500).words);
}

TEST(LadderTest, CrossoverOfTheShape) {
  model::ModelConfig config;
  config.width = 128;
  config.decoder_layers = 3;
  // A position costs 2 x 128 floats in each of 3 layers, 3,072 bytes.
  EXPECT_NEAR(predicted_crossover(config, 3'072'000), 1000, 1e-9);
}

TEST(LadderTest, ClimbOfTwoRuns) {
  model::ModelConfig sparse = tiny_config();
  sparse.attention = "sparsemax";
  std::vector<eval::Run> runs = {load_run(write_tiny_run("ladder_dense", tiny_config(), 1)),
                                 load_run(write_tiny_run("ladder_sparse", sparse, 2))};
  const ForcedChain chain = forced_chain({}, 200);
  const std::vector<Ladder> ladders = climb(runs, chain, {{8, 200}, 1});
  ASSERT_EQ(ladders.size(), 2u);
  for (const Ladder& ladder : ladders) {
    ASSERT_EQ(ladder.rungs.size(), 2u);
    const Rung& last = ladder.rungs[1];
    EXPECT_EQ(last.position, 200);
    EXPECT_GT(last.token.least, 0);
    EXPECT_LE(last.token.low, last.token.median);
    EXPECT_GT(last.prefill, 0);
    EXPECT_GT(last.encode, 0);
    // The last 100 tokens see 101 .. 200 keys in 2 layers of 2 heads.
    EXPECT_NEAR(last.work.keys_visible, 4 * 150.5, 1e-9);
    EXPECT_GT(last.work.bytes_read, 0);
  }
  EXPECT_LT(ladders[1].rungs[1].work.values_read, ladders[0].rungs[1].work.values_read);
}

TEST(LadderTest, PositionsBehindTheTableAreRefused) {
  model::ModelConfig config = tiny_config();
  config.max_positions = 100;
  std::vector<eval::Run> runs = {load_run(write_tiny_run("ladder_short", config, 1))};
  try {
    check_lengths(runs, std::vector<int64_t>{64, 101});
    FAIL() << "101 positions of 100 were accepted";
  } catch (const model::OptionError& error) {
    EXPECT_NE(std::string(error.what()).find("model.max_positions"), std::string::npos) << error.what();
  }
  EXPECT_NO_THROW(check_lengths(runs, std::vector<int64_t>{100}));
  EXPECT_EQ(longest_chain(runs), 100);
}

TEST(LadderTest, PauseTokensTakePositionsWithoutAnEncoder) {
  model::ModelConfig config = tiny_config();
  config.encoder = false;
  config.pause_tokens = 60;
  config.max_positions = 100;
  std::vector<eval::Run> runs = {load_run(write_tiny_run("ladder_pause", config, 1))};
  try {
    climb(runs, forced_chain({}, 40), {{40}, 1});
    FAIL() << "a prompt, 60 pauses and 40 words were accepted on 100 positions";
  } catch (const model::OptionError& error) {
    EXPECT_NE(std::string(error.what()).find("model.max_positions"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace giantrabbit::eval
