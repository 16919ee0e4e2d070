// See problem_options.h.
#include "eval/commands/problem_options.h"

#include <stdexcept>

namespace giantrabbit::eval {
namespace {

std::string task_of(const Parsed& parsed, std::span<const Run> runs) {
  if (parsed.options.count("task") > 0) return parsed.options["task"].as<std::string>();
  return common_task(runs, "choose one with --task");
}

}  // namespace

void add_problem_options(cxxopts::Options& options) {
  using cxxopts::value;
  options.add_options()  //
      ("items",
       "take the problems of this file instead of drawn ones: JSON list or lines, ListOps (label, tab, "
       "expression) or multiplication (question||chain #### answer)",
       value<std::string>(), "FILE")                                                                //
      ("skip-unparsable", "leave out items that cannot be read instead of counting them as wrong")  //
      ("task", "task to draw problems of (default: the one the runs were trained on)", value<std::string>(),
       "NAME")  //
      ("split", "split to draw from: test, validation or train", value<std::string>()->default_value("test"),
       "NAME")  //
      ("seed", "seed of the drawn problems", value<std::string>()->default_value("1"), "N");
}

void check_problem_options(const Parsed& parsed) {
  refuse_beside(parsed, "items", {"task", "split", "seed", "count"});
  if (flag(parsed, "skip-unparsable") && parsed.options.count("items") == 0) {
    throw UsageError("--skip-unparsable goes with --items");
  }
  whole_number(parsed, "seed", 0, INT64_MAX);
}

ProblemSet choose_problems(const Parsed& parsed, const std::vector<Run>& runs, int64_t count) {
  if (parsed.options.count("items") > 0) {
    return read_problems(parsed.options["items"].as<std::string>(), flag(parsed, "skip-unparsable"));
  }
  const auto seed = static_cast<uint64_t>(whole_number(parsed, "seed", 0, INT64_MAX));
  try {
    return draw_problems(task_of(parsed, runs), parsed.options["split"].as<std::string>(), seed, count);
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
}

}  // namespace giantrabbit::eval
