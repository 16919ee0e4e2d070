// The list of commands and what they share: reading options.
#include "eval/commands/command.h"

#include <array>
#include <charconv>

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

}  // namespace

std::span<const Command> commands() {
  static constexpr std::array list{
      Command{"compare", "judge runs on the same problems and say what the figures allow to conclude",
              run_compare},
      Command{"exam", "let runs answer the nine exam questions, every step checked", run_exam},
      Command{"solve", "let a run solve one problem typed on the command line", run_solve},
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
  const auto text = parsed.options[name].as<std::string>();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least) {
    throw UsageError(fmt::format("--{} must be a whole number of at least {}, got '{}'", name, least, text));
  }
  return value;
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
