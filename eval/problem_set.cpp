// Draws or reads problems; see problem_set.h.
#include "eval/problem_set.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include <fmt/format.h>

#include "data/example_source.h"
#include "eval/error_text.h"

namespace giantrabbit::eval {

data::Split parse_split(const std::string& text) {
  if (text == "train") return data::Split::train;
  if (text == "validation") return data::Split::validation;
  if (text == "test") return data::Split::test;
  throw std::invalid_argument(fmt::format("unknown split '{}'; known are train, validation, test", text));
}

ProblemSet draw_problems(const std::string& task, const std::string& split, uint64_t seed, int64_t count) {
  // The format does not matter: only the prompts are used.
  const data::ExampleSource source(task, data::ChainFormat::prod, parse_split(split), seed);
  ProblemSet set;
  std::set<data::Words> seen;
  const int64_t most_draws = 20 * count;
  for (int64_t index = 0; index < most_draws && std::ssize(set.problems) < count; ++index) {
    data::Problem problem = source.example(static_cast<uint64_t>(index)).problem;
    if (seen.insert(problem.prompt).second) set.problems.push_back(std::move(problem));
  }
  set.description = fmt::format("{} different problems of task {}, {} split, seed {}", set.problems.size(),
                                task, split, seed);
  if (std::ssize(set.problems) < count) {
    set.description += fmt::format(" ({} were asked for, {} draws gave no more)", count, most_draws);
  }
  return set;
}

ProblemSet read_problems(const std::filesystem::path& file, bool skip_unparsable) {
  data::ItemFile items = data::read_items(file);
  if (items.problems.empty() && (items.refused.empty() || skip_unparsable)) {
    throw std::runtime_error(fmt::format("{}: there is no {}item in this file", file.string(),
                                         items.refused.empty() ? "" : "readable "));
  }
  for (data::Problem& problem : items.problems) problem.id = printable(problem.id);
  for (data::ItemFile::Refused& item : items.refused) {
    item.id = printable(item.id);
    item.reason = printable(item.reason);
  }
  ProblemSet set{std::move(items.problems), std::move(items.refused), ""};
  set.description = fmt::format("{} items of {}", set.problems.size() + set.refused.size(), file.string());
  if (skip_unparsable && !set.refused.empty()) {
    set.description += fmt::format(", {} that could not be read left out", set.refused.size());
    for (const auto& item : set.refused) set.description += fmt::format("; {}: {}", item.id, item.reason);
    set.refused.clear();
  }
  return set;
}

const data::Problem& problem_number(const ProblemSet& set, int64_t number) {
  int64_t before = 0;  // refused items with a lower number
  for (const data::ItemFile::Refused& item : set.refused) {
    if (item.number == number) {
      throw data::ProblemError(fmt::format("number {} of {} ({}) could not be read: {}", number,
                                           set.description, item.id, item.reason));
    }
    if (item.number < number) ++before;
  }
  if (number - before > std::ssize(set.problems)) {
    throw data::ProblemError(fmt::format("there is no number {} among {}", number, set.description));
  }
  return set.problems[static_cast<size_t>(number - before - 1)];
}

}  // namespace giantrabbit::eval
