// Checkpoints and metrics.jsonl: damaged or foreign files are refused with one sentence, and what is kept is
// kept exactly.
#include "train/checkpoint.h"

#include <fstream>

#include <gtest/gtest.h>

#include "data/example_source.h"
#include "model/safetensors.h"
#include "tests/support/tensor_matchers.h"
#include "tests/train/tiny_run.h"
#include "train/metrics_log.h"

namespace giantrabbit::train {
namespace {

namespace fs = std::filesystem;
using tiny::error_of;

struct Trainee {
  explicit Trainee(uint64_t seed, int64_t width = 16) {
    config = tiny::run_config();
    config.model.width = width;
    torch::manual_seed(seed);
    network = model::GiantRabbit(config.model, eval::token_traits(data::Vocabulary()));
    optimizer.emplace(network, config.train);
  }
  RunConfig config;
  model::GiantRabbit network{nullptr};
  std::optional<Optimizer> optimizer;
  data::ExampleSource source{"row-reduction", data::ChainFormat::prod, data::Split::train, 1};
  data::Batcher batcher{source, 128, 1};
};

const Counters counters{7, 1234567890123, 0.1 + 0.2, 0.7, {3, 4}, 1.0 / 3, 5, 2.5, 1e-300 / 3, 6, 8};

fs::path written_checkpoint(const std::string& name, Trainee& setup) {
  const fs::path directory = tiny::fresh_directory(name);
  save_checkpoint(directory, setup.network, *setup.optimizer, counters);
  return *newest_checkpoint(directory);
}

TEST(CheckpointTest, RoundTrip) {
  Trainee source(1), target(2);
  const fs::path file = written_checkpoint("round_trip", source);
  const Counters read = load_checkpoint(file, target.network, *target.optimizer, target.batcher);
  EXPECT_EQ(read.step, 7);
  EXPECT_EQ(read.tokens, 1234567890123);
  EXPECT_EQ(read.seconds, 0.1 + 0.2);
  EXPECT_EQ(read.processor_seconds, 0.7);
  EXPECT_EQ(target.batcher.position().pool, 3u);
  EXPECT_EQ(target.batcher.position().batch, 4u);
  EXPECT_EQ(read.position.pool, 3u);
  EXPECT_EQ(read.position.batch, 4u);
  EXPECT_EQ(read.next_validation, 1.0 / 3);
  EXPECT_EQ(read.validated_step, 5);
  EXPECT_EQ(read.interval_start, 2.5);
  EXPECT_EQ(read.interval_loss, 1e-300 / 3);
  EXPECT_EQ(read.interval_steps, 6);
  EXPECT_EQ(read.interval_tokens, 8);
  const model::NamedTensors expected = model::state_of(*source.network);
  for (const auto& [name, tensor] : model::state_of(*target.network)) {
    EXPECT_TRUE(test_support::tensors_equal(tensor, expected.at(name))) << name;
  }
}

TEST(CheckpointTest, KeepsTheLastTwoAndIgnoresOtherFiles) {
  Trainee setup(1);
  const fs::path directory = tiny::fresh_directory("last_two");
  EXPECT_FALSE(newest_checkpoint(directory).has_value());
  for (const int64_t step : {9, 10, 100, 99}) {
    Counters at = counters;
    at.step = step;
    save_checkpoint(directory, setup.network, *setup.optimizer, at);
  }
  for (const std::string name :
       {"step-x.safetensors", "step-7.safetensors.tmp", "notes.txt", "step-.safetensors"}) {
    std::ofstream(directory / name) << "x";
  }
  EXPECT_EQ(newest_checkpoint(directory)->filename(), "step-00000100.safetensors");
  EXPECT_TRUE(fs::exists(directory / "step-00000099.safetensors"));
  EXPECT_FALSE(fs::exists(directory / "step-00000010.safetensors"));
}

void expect_refused(const fs::path& file, Trainee& setup, const std::string& part) {
  const std::string error =
      error_of([&] { load_checkpoint(file, setup.network, *setup.optimizer, setup.batcher); });
  EXPECT_TRUE(error.starts_with(file.string() + ": ")) << error;
  EXPECT_NE(error.find(part), std::string::npos) << error;
  EXPECT_EQ(error.find('\n'), std::string::npos) << error;
}

TEST(CheckpointTest, DamagedTruncatedOrForeign) {
  Trainee setup(1);
  const fs::path file = written_checkpoint("damaged", setup);
  const std::string bytes = data::read_file(file);
  for (const size_t kept : {size_t{0}, size_t{7}, size_t{500}, bytes.size() / 2, bytes.size() - 1}) {
    data::write_file_atomically(file, bytes.substr(0, kept));
    expect_refused(file, setup, "not a safetensors file");
  }
  data::write_file_atomically(file, model::to_safetensors({{"a", torch::zeros({2})}}, {}));
  expect_refused(file, setup, "not a checkpoint of this program");
  model::Metadata metadata;
  model::NamedTensors state = model::from_safetensors(bytes, &metadata);
  const auto rewrite = [&] { data::write_file_atomically(file, model::to_safetensors(state, metadata)); };
  metadata.erase("tokens");
  rewrite();
  expect_refused(file, setup, "the counter 'tokens' is missing");
  metadata["tokens"] = "many";
  rewrite();
  expect_refused(file, setup, "the counter 'tokens' is 'many'");
  metadata["tokens"] = "1";
  state.erase("model.output_head.norm.gain");
  rewrite();
  expect_refused(file, setup, "'output_head.norm.gain' is missing");
  Trainee wider(1, 32);
  data::write_file_atomically(file, bytes);
  expect_refused(file, wider, "needs shape");
  expect_refused(file.parent_path() / "none.safetensors", setup, "");
}

TEST(CheckpointTest, ImpossibleCountersAreRefusedWithTheFile) {
  Trainee setup(1);
  const fs::path file = written_checkpoint("counters", setup);
  model::Metadata metadata;
  const model::NamedTensors state = model::from_safetensors(data::read_file(file), &metadata);
  const auto rewrite = [&](const std::string& name, const std::string& value) {
    model::Metadata changed = metadata;
    changed[name] = value;
    data::write_file_atomically(file, model::to_safetensors(state, changed));
  };
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"step", "-7"},
                                                        {"seconds", "inf"},
                                                        {"seconds", "-0x1p+0"},
                                                        {"next_validation", "nan"},
                                                        {"interval_loss", "-inf"}}) {
    rewrite(name, value);
    expect_refused(file, setup, "the counter '" + name + "' is '" + value + "'");
  }
  rewrite("batch", "999999");
  expect_refused(file, setup, "batch 999999 was asked for");
  rewrite("interval_loss", "-0x1p-30");  // a sum of losses near 0 after rounding
  EXPECT_EQ(load_checkpoint(file, setup.network, *setup.optimizer, setup.batcher).interval_loss, -0x1p-30);
}

// At a step with its lines of loss and validation written.
Counters written_at(int64_t step) {
  Counters at;
  at.step = at.validated_step = step;
  return at;
}

TEST(MetricsLogTest, ResumingDropsLaterLines) {
  const fs::path directory = tiny::fresh_directory("metrics");
  fs::create_directories(directory);
  const fs::path file = directory / "metrics.jsonl";
  {
    MetricsLog log(file, {});
    for (const int step : {50, 100, 150}) log.write({{"step", step}, {"loss", 0.5}});
  }
  { MetricsLog log(file, written_at(150)); }
  EXPECT_EQ(tiny::timeless_metrics(directory).size(), 3u);
  MetricsLog(file, written_at(100)).write({{"step", 120}});
  EXPECT_EQ(tiny::timeless_metrics(directory),
            (std::vector<std::string>{R"({"loss":0.5,"step":50})", R"({"loss":0.5,"step":100})",
                                      R"({"step":120})"}));
  std::ofstream(file, std::ios::app) << "{\"step\": 12";  // a killed writer's last line
  { MetricsLog log(file, written_at(110)); }
  EXPECT_EQ(tiny::timeless_metrics(directory).size(), 2u);
  std::ofstream(file, std::ios::app) << "{\"step\": \"x\"}\n";
  { MetricsLog log(file, written_at(110)); }
  EXPECT_EQ(tiny::timeless_metrics(directory).size(), 2u) << "a damaged line ends what is kept";
  { MetricsLog log(file, {}); }
  EXPECT_EQ(data::read_file(file), "");
}

// A checkpoint of the last step may be older than the last lines, which bear the same step.
TEST(MetricsLogTest, LinesOfTheResumedStepAreKeptOnlyIfTheyWereWritten) {
  const fs::path directory = tiny::fresh_directory("same_step");
  fs::create_directories(directory);
  const auto kept = [&](const Counters& resumed) {
    data::write_file_atomically(directory / "metrics.jsonl",
                                "{\"step\":3,\"loss\":1}\n{\"step\":3,\"validation_exact\":0}\n");
    { MetricsLog log(directory / "metrics.jsonl", resumed); }
    return tiny::timeless_metrics(directory).size();
  };
  Counters at = written_at(3);
  EXPECT_EQ(kept(at), 2u);
  at.validated_step = 0;
  EXPECT_EQ(kept(at), 1u);
  at.interval_steps = 3;
  EXPECT_EQ(kept(at), 0u);
}

}  // namespace
}  // namespace giantrabbit::train
