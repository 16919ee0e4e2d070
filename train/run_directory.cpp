// See run_directory.h.
#include "train/run_directory.h"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <unistd.h>

#include "data/atomic_file.h"
#include "eval/config_file.h"
#include "eval/machine.h"
#include "model/safetensors.h"
#include "train/build_commit.h"

namespace giantrabbit::train {
namespace {

bool is_limit(const std::string& key) {
  return key == "train.minutes" || key == "train.steps" || key == "train.tokens";
}

// 0 is no limit.
bool is_lower(double limit, double before) { return limit > 0 && before > 0 && limit < before; }

// A resumed run must be the run it continues: only its limits may differ, and the run may be past lower ones.
// A text may lie in another place, its fingerprint says that it is the same.
void check_same(const std::filesystem::path& file, RunConfig& config) {
  RunConfig written;
  model::OptionSet old_options = written.options();
  eval::read_config(file, old_options);
  const model::OptionSet options = config.options();
  for (size_t i = 0; i < options.options().size(); ++i) {
    const auto& option = options.options()[i];
    if (option.key == "data.text") continue;
    const std::string now = options.text(option);
    const std::string then = old_options.text(old_options.options()[i]);
    if (is_limit(option.key) ? is_lower(std::stod(now), std::stod(then)) : now != then) {
      throw std::runtime_error(
          fmt::format("{}: the run was started with {} = {}, it cannot be resumed with {}", file.string(),
                      option.key, then, now));
    }
  }
}

const std::filesystem::path& made(const std::filesystem::path& path, bool resume) {
  std::error_code error;
  if (!resume) std::filesystem::create_directories(path, error);
  if (error) throw std::runtime_error(fmt::format("{}: cannot be made: {}", path.string(), error.message()));
  return path;
}

}  // namespace

// A folder that cannot be opened has nothing to protect; file systems without locks do without.
DirectoryLock::DirectoryLock(const std::filesystem::path& folder)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0 || ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(descriptor_);
  throw std::runtime_error(fmt::format("{}: its run is still going on", folder.string()));
}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

// A start that failed at once leaves a configuration, but nothing that could be continued.
bool RunDirectory::holds_run() const {
  std::error_code missing;
  const auto lines = std::filesystem::file_size(metrics(), missing);
  return newest_checkpoint(checkpoints()) || std::filesystem::exists(path_ / "model.safetensors") ||
         (!missing && lines > 0);
}

RunDirectory::RunDirectory(std::filesystem::path path, RunConfig& config, const data::Vocabulary& vocabulary,
                           bool resume)
    : path_(std::move(path)), lock_(made(path_, resume)) {
  const std::filesystem::path config_file = path_ / "config.toml";
  if (resume) {
    check_same(config_file, config);
    vocabulary.verify(path_ / "vocabulary.json");
  } else if (holds_run()) {
    throw std::runtime_error(fmt::format(
        "{}: already holds a run; continue it with --resume or choose another --out", path_.string()));
  } else {
    vocabulary.save(path_ / "vocabulary.json");
  }
  for (const char* file :
       {"config.toml", "vocabulary.json", "metrics.jsonl", "model.safetensors", "summary.json"}) {
    data::remove_temporary_files(path_, file);
  }
  data::remove_temporary_files(checkpoints(), "step-");
  data::write_file_atomically(config_file, eval::write_config(config.options()));
}

void RunDirectory::write_result(const model::GiantRabbit& network, const Counters& counters, int processes,
                                const Validation& validation) const {
  const eval::Machine machine = eval::this_machine();
  data::write_file_atomically(
      path_ / "model.safetensors",
      model::to_safetensors(model::state_of(*network), {{"format", "giantrabbit-model-1"}}));
  const nlohmann::ordered_json summary = {{"parameters", network->parameter_count()},
                                          {"steps", counters.step},
                                          {"tokens", counters.tokens},
                                          {"seconds", counters.seconds},
                                          {"processor_seconds", counters.processor_seconds},
                                          {validation.result, validation.figures.at(validation.result)},
                                          {"cpu", machine.cpu},
                                          {"processes", processes},
                                          {"threads", machine.threads},
                                          {"library", machine.library},
                                          {"commit", build_commit()}};
  data::write_file_atomically(path_ / "summary.json", summary.dump(2) + "\n");
}

}  // namespace giantrabbit::train
