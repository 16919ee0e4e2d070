// See command_line.h.
#include "train/command_line.h"

#include <algorithm>

#include <cxxopts.hpp>
#include <fmt/format.h>

#include "eval/config_file.h"

namespace giantrabbit::train {
namespace {

// "model.keep_fraction" -> "keep-fraction".
std::string flag_of(const std::string& key) {
  std::string flag = key.substr(key.find('.') + 1);
  std::ranges::replace(flag, '_', '-');
  return flag;
}

cxxopts::Options describe(const model::OptionSet& options) {
  cxxopts::Options description(
      "giantrabbit-train",
      "Trains an encoder - chain of thought - decoder model on problems whose every step is "
      "checked, or its decoder alone on a text.\n"
      "Examples: giantrabbit-train --task row-reduction --attention sparsemax --minutes 10 --out "
      "runs/sparse\n"
      "  giantrabbit-train --task text --text book.txt --encoder=false --thought-steps 0 --position rotary\n"
      "    --minutes 30 --out runs/book\n");
  auto add = description.add_options();
  add("out", "directory of the run", cxxopts::value<std::string>());
  add("config", "TOML file with tables [data], [model] and [train]", cxxopts::value<std::string>());
  add("set", "full key and value, for example model.layers=3; may be repeated",
      cxxopts::value<std::vector<std::string>>());
  add("resume", "continue the run in --out from its newest checkpoint");
  add("help", "print this text");
  for (const auto& option : options.options()) {
    auto value = cxxopts::value<std::string>();
    if (option.is_flag) value->implicit_value("true");
    add(flag_of(option.key),
        fmt::format("{} ({}, default {})", option.help, option.type, options.text(option)), value);
  }
  return description;
}

cxxopts::ParseResult parse(cxxopts::Options& description, const model::OptionSet& options, int argc,
                           const char* const* argv) {
  description.allow_unrecognised_options();
  cxxopts::ParseResult result;
  try {
    result = description.parse(argc, argv);
  } catch (const cxxopts::exceptions::exception& error) {
    throw model::OptionError(error.what());
  }
  if (result.unmatched().empty()) return result;
  std::vector<std::string> known = {"out", "config", "set", "resume", "help"};
  for (const auto& option : options.options()) known.push_back(flag_of(option.key));
  std::string word = result.unmatched().front();
  word.erase(0, std::min(word.find_first_not_of('-'), word.size()));
  throw model::OptionError(model::unknown_key_message(word.substr(0, word.find('=')), known));
}

void apply(const cxxopts::ParseResult& result, model::OptionSet& options) {
  for (const auto& option : options.options()) {
    const std::string flag = flag_of(option.key);
    if (result.count(flag) > 0) options.set_text(option.key, result[flag].as<std::string>());
  }
  if (result.count("set") == 0) return;
  for (const std::string& text : result["set"].as<std::vector<std::string>>()) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
      throw model::OptionError(fmt::format("--set: expected key=value, got '{}'", text));
    }
    options.set_text(text.substr(0, equals), text.substr(equals + 1));
  }
}

}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  model::OptionSet options = line.config.options();
  cxxopts::Options description = describe(options);
  const cxxopts::ParseResult result = parse(description, options, argc, argv);
  if (result["help"].as<bool>()) {
    line.help = description.help();
    return line;
  }
  if (result.count("out") == 0) throw model::OptionError("--out is needed: the directory of the run");
  line.out = result["out"].as<std::string>();
  line.resume = result["resume"].as<bool>();
  if (result.count("config") > 0) {
    eval::read_config(result["config"].as<std::string>(), options);
  } else if (line.resume) {
    eval::read_config(line.out / "config.toml", options);
  }
  apply(result, options);
  line.config.model.validate();
  line.config.train.validate();
  line.config.task.validate(line.config.model);
  return line;
}

}  // namespace giantrabbit::train
