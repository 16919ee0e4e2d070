// Updates of several micro-batches: the loop's loss is that of the joined batch.
#include <gtest/gtest.h>

#include "tests/train/processes.h"
#include "tests/train/tiny_run.h"
#include "train/trainer.h"

namespace giantrabbit::train {
namespace {

TEST(MicroBatchesTest, AnUpdateTakesTheMeanOverAllOfItsMicroBatches) {
  RunConfig config = tiny::run_config();
  config.train.learning_rate = config.train.muon_learning_rate = 0;  // every loss is the first model's
  std::vector<double> single, tokens;
  Trainer one(config, tiny::fresh_directory("single"), false);
  for (int step = 0; step < 6; ++step) {
    const auto before = static_cast<double>(one.counters().tokens);
    single.push_back(one.step());
    tokens.push_back(static_cast<double>(one.counters().tokens) - before);
  }
  config.train.accumulate = 3;
  Trainer three(config, tiny::fresh_directory("joined"), false);
  for (size_t first : {size_t{0}, size_t{3}}) {
    double sum = 0, count = 0;
    for (size_t i = first; i < first + 3; ++i) {
      sum += single[i] * tokens[i];
      count += tokens[i];
    }
    EXPECT_NEAR(three.step(), sum / count, 1e-12 * sum);
  }
  EXPECT_EQ(three.counters().tokens, one.counters().tokens);
  EXPECT_EQ(three.counters().step, 2);
}

TEST(MicroBatchesTest, ProcessesThatCannotShareMicroBatchesEvenlyAreRefused) {
  RunConfig config = tiny::run_config();
  config.train.accumulate = 3;
  as_processes(2, [&](ProcessGroup group) {
    RunConfig own = config;
    const std::string error =
        tiny::error_of([&] { Trainer(own, tiny::fresh_directory("uneven"), false, std::move(group)); });
    EXPECT_EQ(error,
              "train.accumulate: 2 processes cannot share 3 micro-batches evenly; give --accumulate 2 or a "
              "multiple");
  });
}

}  // namespace
}  // namespace giantrabbit::train
