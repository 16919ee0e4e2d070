// The list of commands and what they share: reading options.
#include "eval/commands/command.h"

#include <array>
#include <charconv>
#include <filesystem>
#include <sstream>

#include <fmt/format.h>

#include <ATen/Parallel.h>

#include "model/option_set.h"

namespace giantrabbit::eval {
namespace {

std::vector<std::string> known_options(const cxxopts::Options& options) {
  std::vector<std::string> known;
  for (const std::string& group : options.groups()) {
    for (const cxxopts::HelpOptionDetails& option : options.group_help(group).options) {
      for (const std::string& name : option.l) known.push_back("--" + name);
    }
  }
  return known;
}

// The whole text as a number.
template <typename Number>
bool read(const std::string& text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::span<const Command> commands() {
  static constexpr std::array list{
      Command{"compare", "judge runs on the same problems and say what the figures allow to conclude",
              run_compare},
      Command{"evict", "let runs forget parts of their cache behind every written step", run_evict},
      Command{"exam", "let runs answer the nine exam questions, every step checked", run_exam},
      Command{"inspect", "show what the heads of a run attended to, held against what each step needed",
              run_inspect},
      Command{"solve", "let a run solve one problem typed on the command line", run_solve},
      Command{"timing", "measure time and work per token against the length of the chain", run_timing},
  };
  return list;
}

Parsed parse(cxxopts::Options& options, std::span<const std::string> arguments) {
  options.add_options()  //
      ("weights", "what the decoder's weights are rounded to: float32, bfloat16 or int8",
       cxxopts::value<std::string>()->default_value("float32"),
       "TYPE")  //
      ("threads", "threads to compute with", cxxopts::value<std::string>()->default_value("1"),
       "N")  //
      ("help", "show this text");
  options.allow_unrecognised_options();
  std::vector<const char*> argv{"giantrabbit-eval"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  Parsed parsed;
  try {
    parsed.options = options.parse(static_cast<int>(argv.size()), argv.data());
  } catch (const cxxopts::exceptions::exception& error) {
    throw UsageError(error.what());
  }
  // Run directories are not declared as cxxopts arguments: lists are split at commas there, and paths may
  // have some.
  for (const std::string& argument : parsed.options.unmatched()) {
    if (argument.starts_with("-")) {
      const std::string name = argument.substr(0, argument.find('='));
      throw UsageError(model::unknown_key_message(name, known_options(options)));
    }
    parsed.runs.push_back(argument);
  }
  parsed.help = parsed.options.count("help") > 0;
  if (parsed.help) fmt::print("{}", options.help());
  return parsed;
}

int64_t whole_number(const Parsed& parsed, const std::string& name, int64_t least) {
  return whole_number(name, parsed.options[name].as<std::string>(), least);
}

int64_t whole_number(const std::string& name, const std::string& text, int64_t least) {
  int64_t value = 0;
  if (!read(text, value) || value < least) {
    throw UsageError(fmt::format("--{} must be a whole number of at least {}, got '{}'", name, least, text));
  }
  return value;
}

double share_of_one(const Parsed& parsed, const std::string& name) {
  const auto text = parsed.options[name].as<std::string>();
  double value = 0;
  if (!read(text, value) || !(value > 0) || value > 1) {
    throw UsageError(fmt::format("--{} must be a number above 0 and at most 1, got '{}'", name, text));
  }
  return value;
}

std::vector<double> shares(const Parsed& parsed, const std::string& name) {
  std::vector<double> list;
  std::istringstream text(parsed.options[name].as<std::string>());
  for (std::string item; std::getline(text, item, ',');) {
    double value = 0;
    if (!read(item, value) || !(value > 0) || value > 1) {
      throw UsageError(fmt::format("--{} needs numbers above 0 and at most 1, got '{}'", name, item));
    }
    list.push_back(value);
  }
  if (list.empty()) throw UsageError(fmt::format("--{} needs at least one number", name));
  return list;
}

std::vector<int64_t> lengths(const Parsed& parsed, const std::string& name) {
  std::vector<int64_t> list;
  const auto text = parsed.options[name].as<std::string>();
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) {
    list.push_back(whole_number(name, item, 2));
    if (list.size() > 1 && list.back() <= list[list.size() - 2]) {
      throw UsageError(fmt::format("--{} must increase, got {}", name, text));
    }
  }
  if (list.empty()) throw UsageError(fmt::format("--{} needs at least one length", name));
  return list;
}

void check_output(const Parsed& parsed, const std::string& name) {
  if (parsed.options.count(name) == 0) return;
  const std::filesystem::path file = parsed.options[name].as<std::string>();
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  if (!std::filesystem::is_directory(folder)) {
    throw UsageError(
        fmt::format("--{} {}: the folder {} does not exist", name, file.string(), folder.string()));
  }
}

std::string common_task(std::span<const Run> runs, std::string_view remedy) {
  for (const Run& run : runs) {
    if (run.task.task != runs.front().task.task) {
      throw UsageError(fmt::format("the runs were trained on different tasks ({}: {}, {}: {}); {}",
                                   runs.front().name, runs.front().task.task, run.name, run.task.task,
                                   remedy));
    }
  }
  return runs.front().task.task;
}

model::WeightType weights(const Parsed& parsed) {
  const auto text = parsed.options["weights"].as<std::string>();
  for (const auto type : {model::WeightType::float32, model::WeightType::bfloat16, model::WeightType::int8}) {
    if (text == model::weight_type_name(type)) return type;
  }
  throw UsageError(fmt::format("--weights must be float32, bfloat16 or int8, got '{}'", text));
}

void prepare(const Parsed& parsed) {
  if (parsed.runs.empty()) throw UsageError("name at least one run directory, for example runs/sparse");
  at::set_num_threads(static_cast<int>(whole_number(parsed, "threads", 1)));
}

}  // namespace giantrabbit::eval
