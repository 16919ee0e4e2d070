// In: a file of items, as `--items` takes it. Accepted: every item is a valid problem or refused by a
// sentence, with a number of its own.
#include <set>

#include "eval/problem_set.h"
#include "tests/fuzz/fuzz.h"

namespace giantrabbit::fuzz {

void items(std::string_view bytes) {
  const std::filesystem::path file = scratch_file("items", bytes);
  eval::ProblemSet set;
  if (!accepts([&] { set = eval::read_problems(file); })) return;
  require_sentence(set.description);
  const auto count = static_cast<int64_t>(set.problems.size() + set.refused.size());
  require(count > 0, "a set has items");
  std::set<int64_t> numbers;
  for (const auto& item : set.refused) {
    if (!item.id.empty()) require_sentence(item.id);
    require_sentence(item.reason);
    require(item.number >= 1 && item.number <= count && numbers.insert(item.number).second,
            "refused items have numbers of their own");
  }
  for (const data::Problem& problem : set.problems) {
    if (!problem.id.empty()) require_sentence(problem.id);
    const data::Family& family = data::find_family(problem.prompt.at(0));
    family.validate(problem.prompt);
    require(data::parse_problem(data::join_words(problem.prompt)).prompt == problem.prompt,
            "an item can be typed as a problem");
  }
  for (int64_t number = 1; number <= count; ++number) {
    const bool found = accepts<data::ProblemError>([&] { (void)eval::problem_number(set, number); });
    require(found != numbers.contains(number), "every number is a problem or refused");
  }
}

}  // namespace giantrabbit::fuzz
