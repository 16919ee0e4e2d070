// See run_directory.h.
#include "train/run_directory.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

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

// A resumed run must be the run it continues: every option but the limits is compared.
void check_same(const std::filesystem::path& file, RunConfig& config) {
  RunConfig written;
  model::OptionSet old_options = written.options();
  eval::read_config(file, old_options);
  const model::OptionSet options = config.options();
  for (size_t i = 0; i < options.options().size(); ++i) {
    const auto& option = options.options()[i];
    const std::string now = options.text(option);
    const std::string then = old_options.text(old_options.options()[i]);
    if (!is_limit(option.key) && now != then) {
      throw std::runtime_error(
          fmt::format("{}: the run was started with {} = {}, it cannot be resumed with {}", file.string(),
                      option.key, then, now));
    }
  }
}

}  // namespace

RunDirectory::RunDirectory(std::filesystem::path path, RunConfig& config, const data::Vocabulary& vocabulary,
                           bool resume)
    : path_(std::move(path)) {
  const std::filesystem::path config_file = path_ / "config.toml";
  if (resume) {
    check_same(config_file, config);
    vocabulary.verify(path_ / "vocabulary.json");
  } else if (std::filesystem::exists(config_file)) {
    throw std::runtime_error(fmt::format(
        "{}: already holds a run; continue it with --resume or choose another --out", path_.string()));
  } else {
    std::error_code error;
    std::filesystem::create_directories(path_, error);
    if (error)
      throw std::runtime_error(fmt::format("{}: cannot be made: {}", path_.string(), error.message()));
    vocabulary.save(path_ / "vocabulary.json");
  }
  data::write_file_atomically(config_file, eval::write_config(config.options()));
}

void RunDirectory::write_result(const model::GiantRabbit& network, const Counters& counters,
                                double exact) const {
  const eval::Machine machine = eval::this_machine();
  data::write_file_atomically(
      path_ / "model.safetensors",
      model::to_safetensors(model::state_of(*network), {{"format", "giantrabbit-model-1"}}));
  const nlohmann::ordered_json summary = {{"parameters", network->parameter_count()},
                                          {"steps", counters.step},
                                          {"tokens", counters.tokens},
                                          {"seconds", counters.seconds},
                                          {"processor_seconds", counters.processor_seconds},
                                          {"validation_exact", exact},
                                          {"cpu", machine.cpu},
                                          {"threads", machine.threads},
                                          {"library", machine.library},
                                          {"commit", build_commit()}};
  data::write_file_atomically(path_ / "summary.json", summary.dump(2) + "\n");
}

}  // namespace giantrabbit::train
