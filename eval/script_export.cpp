// Makes, compares, writes; see script_export.h.
#include "eval/script_export.h"

#include <stdexcept>

#include <fmt/format.h>

#include "data/atomic_file.h"
#include "eval/config_file.h"
#include "model/script/script_module.h"

namespace giantrabbit::eval {
namespace {

// What the run is, with its changes.
std::string configuration(Run& run) {
  model::OptionSet options;
  run.config.bind(options);
  run.task.bind(options);
  return write_config(options);
}

}  // namespace

ScriptAgreement export_script(Run& run, std::span<const data::Problem> problems, bool portable,
                              const std::filesystem::path& file) {
  const ScriptComparison comparison(run, problems);
  const model::ScriptOptions options{run.vocabulary.words(), data::Vocabulary::pad, data::Vocabulary::bos,
                                     data::Vocabulary::eos, portable};
  const std::string bytes =
      model::save_script(model::make_script_module(run.network, options),
                         {{"config.toml", configuration(run)}, {"verification.json", comparison.expected()}});
  const ScriptAgreement agreement = comparison.with(model::load_script(bytes));
  data::write_file_atomically(file, bytes);
  if (data::read_file(file) != bytes) {
    std::filesystem::remove(file);
    throw std::runtime_error(
        fmt::format("{}: the disk gave back other bytes than were written", file.string()));
  }
  return agreement;
}

}  // namespace giantrabbit::eval
