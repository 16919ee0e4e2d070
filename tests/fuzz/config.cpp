// In: a file for --config. Accepted: what we write of it means the same, and says so in the same text; what
// is kept of training's table for comparisons is read the same again.
#include "train/config.h"

#include "eval/config_file.h"
#include "tests/fuzz/fuzz.h"

namespace giantrabbit::fuzz {
namespace {

void validate(const train::RunConfig& config) {
  config.model.validate();
  config.train.validate();
  config.task.validate(config.model);
}

}  // namespace

void config(std::string_view bytes) {
  const std::filesystem::path file = scratch_file("config.toml", bytes);
  train::RunConfig config;
  model::OptionSet options = config.options();
  const bool valid = accepts([&] {
    eval::read_config(file, options);
    validate(config);
  });
  if (valid) {
    train::RunConfig same;
    model::OptionSet same_options = same.options();
    const std::string written = eval::write_config(options);
    eval::read_config(scratch_file("same.toml", written), same_options);
    validate(same);
    require(eval::write_config(same_options) == written, "a configuration reads back as it was written");
    require(config.task.vocabulary().size() > 0, "a task has words");
  }
  std::string rest;
  if (!accepts([&] { rest = eval::remaining_config(file, {"model", "data"}); })) return;
  require(eval::remaining_config(scratch_file("rest.toml", rest), {}) == rest,
          "what is left of a configuration has one spelling");
}

}  // namespace giantrabbit::fuzz
