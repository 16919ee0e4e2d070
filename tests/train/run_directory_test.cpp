// A run's directory and command line: changed options, foreign files and wrong usage are refused with one
// sentence, and a run is never overwritten.
#include "train/run_directory.h"

#include <algorithm>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/train/tiny_run.h"
#include "train/command_line.h"

namespace giantrabbit::train {
namespace {

namespace fs = std::filesystem;
using tiny::error_of;

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
  for (const std::string name :
       {"config.toml.tmp.17", "metrics.jsonl.tmp.19", "checkpoints/step-00000001.safetensors.tmp.18",
        "notes.tmp.txt", "notes.tmp.", "notes.tmp.2023"}) {
    std::ofstream(path / name) << "x";
  }
  EXPECT_EQ(directory_error(path, tiny::run_config(), true), "no error");
  EXPECT_FALSE(fs::exists(path / "config.toml.tmp.17"));
  EXPECT_FALSE(fs::exists(path / "metrics.jsonl.tmp.19")) << "written anew by every resumed run";
  EXPECT_TRUE(fs::is_empty(path / "checkpoints"));
  EXPECT_TRUE(fs::exists(path / "notes.tmp.txt") && fs::exists(path / "notes.tmp."));
  EXPECT_TRUE(fs::exists(path / "notes.tmp.2023")) << "no file of a run";
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
