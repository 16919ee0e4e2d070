// The list of commands and what they share: reading options.
#include "eval/commands/command.h"

#include <array>
#include <charconv>
#include <filesystem>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <ATen/Parallel.h>

#include "data/atomic_file.h"
#include "eval/variant.h"
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

constexpr int64_t most_threads = 1024;
constexpr int64_t longest_chain = 1'000'000;

// The whole text as a number.
template <typename Number>
bool read(const std::string& text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// What --weights names.
model::WeightType weights(const Parsed& parsed) {
  const auto text = parsed.options["weights"].as<std::string>();
  for (const auto type : {model::WeightType::float32, model::WeightType::bfloat16, model::WeightType::int8}) {
    if (text == model::weight_type_name(type)) return type;
  }
  throw UsageError(fmt::format("--weights must be float32, bfloat16 or int8, got '{}'", text));
}

void check_kind(const Run& run, RunKind kind) {
  if (kind == RunKind::any || run.task.is_text() == (kind == RunKind::text)) return;
  throw UsageError(
      kind == RunKind::text
          ? fmt::format("{} was trained on the task {}, not on a text", run.name, run.task.task)
          : fmt::format(
                "{} was trained on a text, which has no problems to solve; giantrabbit-eval text judges "
                "it",
                run.name));
}

}  // namespace

std::span<const Command> commands() {
  static constexpr std::array list{
      Command{"compare", "judge runs on the same problems and say what the figures allow to conclude",
              run_compare},
      Command{"evict", "let runs forget parts of their cache behind every written step", run_evict},
      Command{"exam", "let runs answer the nine exam questions, every step checked", run_exam},
      Command{"export", "write a run as a TorchScript file and check that it does the same", run_export},
      Command{"inspect", "show what the heads of a run attended to, held against what each step needed",
              run_inspect},
      Command{"patterns", "hold hashing, the last keys and random ones against all earlier keys",
              run_patterns},
      Command{"solve", "let a run solve one problem typed on the command line", run_solve},
      Command{"text", "judge runs on the unseen part of the text they learned from, and let them write",
              run_text},
      Command{"timing", "measure time and work per token against the length of the chain", run_timing},
  };
  return list;
}

Parsed parse(cxxopts::Options& options, std::span<const std::string> arguments) {
  options.add_options()  //
      ("weights",
       "what the decoder's weights are rounded to: float32, bfloat16 or int8; RUN@weights=TYPE for one run",
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
  parsed.help = flag(parsed, "help");
  if (parsed.help) fmt::print("{}", options.help());
  return parsed;
}

int64_t whole_number(const Parsed& parsed, const std::string& name, int64_t least, int64_t most) {
  return whole_number(name, parsed.options[name].as<std::string>(), least, most);
}

int64_t whole_number(const std::string& name, const std::string& text, int64_t least, int64_t most) {
  int64_t value = 0;
  if (!read(text, value) || value < least || value > most) {
    throw UsageError(
        fmt::format("--{} must be a whole number from {} to {}, got '{}'", name, least, most, text));
  }
  return value;
}

bool flag(const Parsed& parsed, const std::string& name) { return parsed.options[name].as<bool>(); }

void refuse_beside(const Parsed& parsed, const std::string& name, std::initializer_list<const char*> others) {
  if (parsed.options.count(name) == 0) return;
  for (const char* other : others) {
    if (parsed.options.count(other) == 0) continue;
    throw UsageError(fmt::format("--{} goes without --{}, which would have no effect", name, other));
  }
}

double share_of_one(const Parsed& parsed, const std::string& name) {
  const auto text = parsed.options[name].as<std::string>();
  double value = 0;
  if (!read(text, value) || !(value > 0) || value > 1) {
    throw UsageError(fmt::format("--{} must be a number above 0 and at most 1, got '{}'", name, text));
  }
  return value;
}

double number(const Parsed& parsed, const std::string& name, double least, double most) {
  const auto text = parsed.options[name].as<std::string>();
  double value = 0;
  if (!read(text, value) || !(value >= least && value <= most)) {
    throw UsageError(
        fmt::format("--{} must be a number from {:g} to {:g}, got '{}'", name, least, most, text));
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

std::vector<int64_t> increasing_numbers(const Parsed& parsed, const std::string& name, int64_t least,
                                        int64_t most) {
  std::vector<int64_t> list;
  const auto text = parsed.options[name].as<std::string>();
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) {
    list.push_back(whole_number(name, item, least, most));
    if (list.size() > 1 && list.back() <= list[list.size() - 2]) {
      throw UsageError(fmt::format("--{} must increase, got {}", name, text));
    }
  }
  if (list.empty()) throw UsageError(fmt::format("--{} needs at least one number", name));
  return list;
}

std::vector<int64_t> lengths(const Parsed& parsed, const std::string& name) {
  return increasing_numbers(parsed, name, 2, longest_chain);
}

void check_output(const Parsed& parsed, const std::string& name, OutputKind kind) {
  if (parsed.options.count(name) == 0) return;
  std::filesystem::path path = parsed.options[name].as<std::string>();
  if (kind == OutputKind::folder && !path.has_filename()) path = path.parent_path();  // "figures/"
  const bool exists = std::filesystem::exists(path);
  const bool is_folder = std::filesystem::is_directory(path);
  const auto refuse = [&](const std::string& reason) {
    throw UsageError(fmt::format("--{} {}: {}", name, path.string(), reason));
  };
  if (path.empty()) refuse("a name is needed");
  if ((is_folder || !path.has_filename()) && kind == OutputKind::file)
    refuse("this is a folder, a file is needed");
  if (exists && !is_folder && kind == OutputKind::folder) refuse("this is a file, a folder is needed");
  const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
  const std::filesystem::path folder = is_folder ? path : parent;
  if (!std::filesystem::is_directory(folder)) {
    refuse(fmt::format("the folder {} does not exist", folder.string()));
  }
  // Permissions do not tell: a disk may be read-only, and some folders take no files.
  try {
    const std::filesystem::path probe = folder / ".giantrabbit-probe";
    data::write_file_atomically(probe, "");
    std::filesystem::remove(probe);
  } catch (const std::runtime_error&) {
    refuse(fmt::format("no file can be made in the folder {}", folder.string()));
  }
}

void write_json(const Parsed& parsed, const nlohmann::ordered_json& document) {
  if (parsed.options.count("json") == 0) return;
  const std::string text = document.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  data::write_file_atomically(parsed.options["json"].as<std::string>(), text + "\n");
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

std::vector<Run> load_runs(const Parsed& parsed, const std::string& float32_only, RunKind kind) {
  const auto check = [&](model::WeightType type) {
    if (!float32_only.empty() && type != model::WeightType::float32) throw UsageError(float32_only);
    return type;
  };
  const model::WeightType type = check(weights(parsed));
  std::vector<Run> runs;
  for (const std::string& directory : parsed.runs) {
    runs.push_back(load_run(directory, type));
    check(runs.back().weights);
    check_kind(runs.back(), kind);
  }
  make_names_distinct(runs);
  return runs;
}

void prepare(const Parsed& parsed) {
  if (parsed.runs.empty()) throw UsageError("name at least one run directory, for example runs/sparse");
  at::set_num_threads(static_cast<int>(whole_number(parsed, "threads", 1, most_threads)));
}

}  // namespace giantrabbit::eval
