// Reads a run directory back. Nothing is trusted: configuration, vocabulary and weights are checked one by
// one, and every error names the file it comes from.
#include "eval/run.h"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "data/atomic_file.h"
#include "eval/config_file.h"
#include "eval/error_text.h"
#include "model/safetensors.h"

namespace giantrabbit::eval {
namespace {

model::GiantRabbit load_network(const std::filesystem::path& file, const model::ModelConfig& config,
                                const model::TokenTraits& traits) {
  const std::string bytes = data::read_file(file);
  try {
    const model::NamedTensors state = model::from_safetensors(bytes);
    int64_t entries = 0;
    for (const auto& [name, tensor] : state) entries += tensor.numel();
    if (const int64_t least = model::least_entries(config, traits.size()); entries < least) {
      throw std::runtime_error(
          fmt::format("{} weights, the configuration asks for a model of at least {}", entries, least));
    }
    model::GiantRabbit network(config, traits);
    model::load_state(*network, state);
    network->eval();
    return network;
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("{}: {}", file.string(), error_text(error)));
  }
}

// "runs/dense@attention=sparsemax" -> "runs/dense" and the rest; a directory of that whole name comes first.
std::pair<std::filesystem::path, std::string> split_changes(const std::filesystem::path& named) {
  const std::string text = named.string();
  const size_t at = text.rfind('@');
  if (at == std::string::npos || std::filesystem::is_directory(named)) return {named, ""};
  return {text.substr(0, at), text.substr(at + 1)};
}

// `options` are bound to the run's configuration. What the decoder is rounded to is no option of a model, so
// no config.toml may name it.
void change(Run& run, model::OptionSet& options, const std::string& changes) {
  std::string weights(model::weight_type_name(run.weights));
  options.add("model.weights", &weights, "what the decoder is rounded to", {"float32", "bfloat16", "int8"});
  std::istringstream text(changes);
  try {
    for (std::string item; std::getline(text, item, ',');) {
      const size_t equals = item.find('=');
      if (equals == std::string::npos) {
        throw model::OptionError(fmt::format("expected key=value, got '{}'", item));
      }
      options.set_text("model." + item.substr(0, equals), item.substr(equals + 1));
    }
    run.config.validate();
    run.task.validate(run.config);
  } catch (const model::OptionError& error) {
    throw model::OptionError(fmt::format("{}@{}: {}", run.directory.string(), changes, error.what()));
  }
  run.weights = model::parse_weight_type(weights);
  run.name += "@" + changes;
}

// Model and task with their defaults filled in; of training's own table, which this room does not know, what
// the file says.
std::string configuration_but_seed(const Run& run) {
  model::ModelConfig config = run.config;
  TaskConfig task = run.task;
  task.seed = 0;
  task.text.clear();  // the fingerprint says which text it is
  model::OptionSet options;
  config.bind(options);
  task.bind(options);
  return write_config(options) + remaining_config(run.directory / "config.toml", {"model", "data"}) +
         std::string(model::weight_type_name(run.weights));
}

// "R12" -> 12; 0 for words that are no row label.
int64_t row_label(std::string_view word) {
  if (!word.starts_with('R')) return 0;
  int64_t row = 0;
  const auto [end, error] = std::from_chars(word.data() + 1, word.data() + word.size(), row);
  return error == std::errc() && end == word.data() + word.size() && row > 0 ? row : 0;
}

}  // namespace

model::TokenTraits token_traits(const data::Vocabulary& vocabulary) {
  model::TokenTraits traits;
  traits.pad = data::Vocabulary::pad;
  for (int64_t id = 0; id < vocabulary.size(); ++id) {
    const data::Vocabulary::Traits& known = vocabulary.traits(id);
    const std::string& word = vocabulary.word(id);
    model::TokenTraits::Token token;
    token.is_whole = known.is_whole;
    token.is_denominator = known.is_denominator;
    token.value = known.value;
    token.ends_group = known.ends_group;
    token.ends_row = known.ends_row;
    token.ends_line = word == "NL";
    token.starts_answer = id == data::Vocabulary::ans;
    token.row_label = row_label(word);
    traits.tokens.push_back(token);
  }
  return traits;
}

void require_words(const Run& run, std::span<const data::Problem> problems) {
  for (const data::Problem& problem : problems) {
    for (const std::string& word : problem.prompt) {
      if (run.vocabulary.contains(word)) continue;
      throw data::ProblemError(
          fmt::format("{} was trained on the task {}, whose vocabulary has no word \"{}\"; the problem is {}",
                      run.directory.string(), run.task.task, word, data::join_words(problem.prompt)));
    }
  }
}

std::string weights_text(std::span<const Run> runs) {
  std::vector<std::string_view> names;
  for (const Run& run : runs) {
    const std::string_view name = model::weight_type_name(run.weights);
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return fmt::format("{}", fmt::join(names, " and "));
}

Run load_run(const std::filesystem::path& named, model::WeightType weights) {
  const auto [directory, changes] = split_changes(named);
  if (!std::filesystem::is_directory(directory)) {
    throw std::runtime_error(fmt::format("{}: no such run directory", directory.string()));
  }
  Run run;
  run.directory = directory;
  // A trailing slash leaves an empty last part, "." and ".." name nothing.
  run.name = std::filesystem::weakly_canonical(directory / ".").filename().string();
  if (run.name.empty()) run.name = std::filesystem::weakly_canonical(directory).filename().string();

  model::OptionSet options;
  run.config.bind(options);
  run.task.bind(options);
  try {
    read_config(directory / "config.toml", options, {"train"});
  } catch (const model::OptionError& error) {
    throw std::runtime_error(error.what());
  }
  try {
    run.config.validate();
    run.task.validate(run.config);
  } catch (const model::OptionError& error) {
    throw std::runtime_error(fmt::format("{}: {}", (directory / "config.toml").string(), error.what()));
  }
  run.weights = weights;
  if (!changes.empty()) change(run, options, changes);
  run.configuration = configuration_but_seed(run);
  run.vocabulary = run.task.vocabulary();
  run.vocabulary.verify(directory / "vocabulary.json");
  run.network = load_network(directory / "model.safetensors", run.config, token_traits(run.vocabulary));
  return run;
}

}  // namespace giantrabbit::eval
