// Summaries of hand-made times, and one real interleaved measurement of tiny models.
#include "eval/timing.h"

#include <array>

#include <gtest/gtest.h>

#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

TEST(TimingTest, SummarizesPhases) {
  std::vector<TimedItem> items;
  for (int index = 1; index <= 5; ++index) {
    const double second = index;
    items.push_back({{second, 2 * second, 10 * second}, 10, index == 5 ? 0 : 2, 6 * second});
  }
  const RunTiming timing = summarize(items, 4);
  EXPECT_EQ(timing.repeats, 4);
  EXPECT_DOUBLE_EQ(timing.encode.median, 3);
  EXPECT_DOUBLE_EQ(timing.think.low, 4);
  EXPECT_DOUBLE_EQ(timing.think.high, 8);
  EXPECT_DOUBLE_EQ(timing.total.least, 13);
  EXPECT_DOUBLE_EQ(timing.total.median, 39);
  EXPECT_DOUBLE_EQ(timing.per_token.median, 3);
  EXPECT_DOUBLE_EQ(timing.per_step.median, 7.5);  // four items with steps: 3, 6, 9, 12
}

TEST(TimingTest, NothingToTime) {
  EXPECT_EQ(summarize({}, 2).total.median, 0);
  std::array<TimedRun, 1> runs{TimedRun{tiny_network(tiny_config(), 1)}};
  const std::vector<RunTiming> timings = time_interleaved(runs, {});
  ASSERT_EQ(timings.size(), 1U);
  EXPECT_TRUE(timings[0].items.empty());
}

TEST(TimingTest, EveryRunDecodesEveryProblem) {
  const std::vector<data::Problem> problems = some_problems(2);
  std::array<TimedRun, 2> runs{TimedRun{tiny_network(tiny_config(), 1)},
                               TimedRun{tiny_network(tiny_config(), 2)}};
  const std::vector<RunTiming> timings = time_interleaved(runs, problems);
  ASSERT_EQ(timings.size(), 2U);
  for (const RunTiming& timing : timings) {
    EXPECT_EQ(timing.items.size(), problems.size());
    EXPECT_EQ(timing.repeats, 2);
    EXPECT_GT(timing.per_token.least, 0);
    for (const TimedItem& item : timing.items) {
      EXPECT_GT(item.tokens, 0);
      EXPECT_LE(item.chain_seconds, item.seconds.decode);
    }
  }
}

}  // namespace
}  // namespace giantrabbit::eval
