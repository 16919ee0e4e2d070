// Files of a run and its command line: damaged or foreign files, changed options and wrong usage are refused
// with one sentence, and what is kept is kept exactly.
#include "train/checkpoint.h"

#include <algorithm>
#include <fstream>

#include <gtest/gtest.h>

#include "model/safetensors.h"
#include "tests/support/tensor_matchers.h"
#include "tests/train/tiny_run.h"
#include "train/command_line.h"
#include "train/metrics_log.h"
#include "train/run_directory.h"

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
  const torch::Tensor drawn = torch::rand({3});
  const Counters read = load_checkpoint(file, target.network, *target.optimizer, target.batcher);
  EXPECT_TRUE(test_support::tensors_equal(torch::rand({3}), drawn));  // the random state came back
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
  state.erase("random_state");
  rewrite();
  expect_refused(file, setup, "'random_state' is missing");
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

std::string directory_error(const fs::path& path, RunConfig config, bool resume) {
  return error_of([&] { RunDirectory(path, config, data::Vocabulary(), resume); });
}

TEST(RunDirectoryTest, NeverOverwritesARun) {
  const RunConfig config = tiny::run_config();
  for (const std::string held :
       {"checkpoints/step-00000003.safetensors", "model.safetensors", "metrics.jsonl"}) {
    SCOPED_TRACE(held);
    const fs::path path = tiny::fresh_directory("directory") / "deep";
    fs::create_directories((path / held).parent_path());
    std::ofstream(path / held) << "{}";  // without config.toml, as somebody may have deleted it
    const std::string error = directory_error(path, config, false);
    EXPECT_TRUE(error.starts_with(path.string() + ": already holds a run")) << error;
    EXPECT_FALSE(fs::exists(path / "config.toml"));
  }
}

TEST(RunDirectoryTest, AStartThatFailedAtOnceMayBeRepeated) {
  const fs::path path = tiny::fresh_directory("repeated");
  RunConfig config = tiny::run_config();
  EXPECT_EQ(directory_error(path, config, false), "no error");
  std::ofstream(path / "metrics.jsonl") << "";
  config.model.width = 32;
  EXPECT_EQ(directory_error(path, config, false), "no error");
  EXPECT_NE(data::read_file(path / "config.toml").find("width = 32"), std::string::npos);
}

TEST(RunDirectoryTest, ARunThatIsStillGoingIsLeftAlone) {
  const fs::path path = tiny::fresh_directory("going");
  RunConfig config = tiny::run_config();
  const RunDirectory running(path, config, data::Vocabulary(), false);
  const fs::path being_written = path / "config.toml.tmp.17";
  std::ofstream(being_written) << "x";
  for (const bool resume : {false, true})
    EXPECT_EQ(directory_error(path, config, resume), path.string() + ": its run is still going on");
  EXPECT_TRUE(fs::exists(being_written));
}

TEST(RunDirectoryTest, FilesOfKilledWritersAreRemoved) {
  const fs::path path = tiny::fresh_directory("leftovers");
  EXPECT_EQ(directory_error(path, tiny::run_config(), false), "no error");
  fs::create_directories(path / "checkpoints");
  for (const std::string name : {"config.toml.tmp.17", "checkpoints/step-00000001.safetensors.tmp.18",
                                 "notes.tmp.txt", "notes.tmp."}) {
    std::ofstream(path / name) << "x";
  }
  EXPECT_EQ(directory_error(path, tiny::run_config(), true), "no error");
  EXPECT_FALSE(fs::exists(path / "config.toml.tmp.17"));
  EXPECT_TRUE(fs::is_empty(path / "checkpoints"));
  EXPECT_TRUE(fs::exists(path / "notes.tmp.txt") && fs::exists(path / "notes.tmp."));
}

TEST(RunDirectoryTest, LoweredLimitsAreRefused) {
  const fs::path path = tiny::fresh_directory("lowered");
  RunConfig config = tiny::run_config();
  EXPECT_EQ(directory_error(path, config, false), "no error");
  config.train.steps = 2;
  EXPECT_NE(
      directory_error(path, config, true).find("started with train.steps = 12, it cannot be resumed with 2"),
      std::string::npos);
  config.train.steps = 0;  // no limit
  config.train.minutes = 1;
  EXPECT_EQ(directory_error(path, config, true), "no error");
}

TEST(RunDirectoryTest, ResumeRefusesChangesButForLimits) {
  const fs::path path = tiny::fresh_directory("resume");
  const RunConfig config = tiny::run_config();
  EXPECT_EQ(directory_error(path, config, false), "no error");
  EXPECT_EQ(directory_error(path, config, true), "no error");
  RunConfig changed = config;
  changed.train.steps = 99;
  changed.train.minutes = 0.5;
  changed.train.tokens = 7;
  EXPECT_EQ(directory_error(path, changed, true), "no error");
  const RunConfig raised = changed;
  changed.train.learning_rate = 1;
  std::string error = directory_error(path, changed, true);
  EXPECT_TRUE(error.starts_with((path / "config.toml").string())) << error;
  EXPECT_NE(error.find("train.learning_rate = 0.003"), std::string::npos) << error;
  changed = config;
  changed.model.attention = "softmax";
  EXPECT_NE(directory_error(path, changed, true).find("model.attention = \"sparsemax\""), std::string::npos);
  std::string words = data::read_file(path / "vocabulary.json");
  words.replace(words.find("SUB"), 3, "BUS");
  data::write_file_atomically(path / "vocabulary.json", words);
  EXPECT_TRUE(directory_error(path, raised, true).starts_with((path / "vocabulary.json").string()));
}

TEST(RunDirectoryTest, ResumeNeedsARun) {
  const fs::path path = tiny::fresh_directory("nothing");
  EXPECT_TRUE(directory_error(path, tiny::run_config(), true).starts_with((path / "config.toml").string()));
  EXPECT_FALSE(fs::exists(path));
  std::ofstream(path) << "a file";
  EXPECT_TRUE(directory_error(path / "run", tiny::run_config(), false).starts_with((path / "run").string()));
  fs::remove(path);
}

CommandLine parsed(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "giantrabbit-train");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

TEST(CommandLineTest, LaterWins) {
  const fs::path file = tiny::fresh_directory("config") / "run.toml";
  fs::create_directories(file.parent_path());
  std::ofstream(file) << "[model]\nwidth = 64\nthought_steps = 4\n[train]\nminutes = 2\nlearning_rate = 1\n";
  const CommandLine line = parsed({"--config", file.c_str(), "--out", "x", "--thought-steps", "3", "--set",
                                   "train.learning_rate=0.5", "--encoder=false", "--attention", "entmax15"});
  EXPECT_EQ(line.out, "x");
  EXPECT_FALSE(line.resume);
  EXPECT_EQ(line.config.model.width, 64);
  EXPECT_EQ(line.config.model.thought_steps, 3);
  EXPECT_FALSE(line.config.model.encoder);
  EXPECT_EQ(line.config.model.attention, "entmax15");
  EXPECT_EQ(line.config.train.minutes, 2);
  EXPECT_EQ(line.config.train.learning_rate, 0.5);
  EXPECT_TRUE(line.help.empty());
}

TEST(CommandLineTest, ResumeMayBeSetToFalse) {
  EXPECT_FALSE(parsed({"--out", "x", "--steps", "1", "--resume=false"}).resume);
  const fs::path path = tiny::fresh_directory("resume_flag");
  EXPECT_EQ(directory_error(path, tiny::run_config(), false), "no error");
  EXPECT_TRUE(parsed({"--out", path.c_str(), "--resume"}).resume);
}

TEST(CommandLineTest, HelpNamesEveryOptionAndItsDefault) {
  const std::string help = parsed({"--help"}).help;
  RunConfig config;
  const model::OptionSet options = config.options();
  for (const auto& option : options.options()) {
    std::string flag = "--" + option.key.substr(option.key.find('.') + 1);
    std::replace(flag.begin(), flag.end(), '_', '-');
    EXPECT_NE(help.find(flag), std::string::npos) << flag;
  }
  EXPECT_NE(help.find("default"), std::string::npos);
}

}  // namespace
}  // namespace giantrabbit::train
