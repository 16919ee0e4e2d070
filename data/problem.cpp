// In: names and texts. Out: families, formats and validated problems. Kept invariant: a Problem that leaves
// parse_problem() has passed its family's validate().
#include "data/problem.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "data/families/families.h"
#include "data/vocabulary.h"

namespace giantrabbit::data {
namespace {

constexpr std::array<std::string_view, 3> format_names = {"prod", "delta", "answer_only"};

// "1/2" becomes "1" and "/2"; ";" may touch its neighbours.
Words split_words(std::string_view text) {
  Words words;
  std::string word;
  const auto flush = [&] {
    if (!word.empty()) words.push_back(std::exchange(word, {}));
  };
  for (const char letter : text) {
    const bool blank = letter == ' ' || letter == '\t' || letter == '\n' || letter == '\r';
    if (blank || letter == ';' || letter == '/') flush();
    if (letter == ';') {
      words.emplace_back(";");
    } else if (!blank) {
      word += letter;
    }
  }
  flush();
  return words;
}

}  // namespace

ChainFormat parse_chain_format(std::string_view text) {
  const auto found = std::find(format_names.begin(), format_names.end(), text);
  if (found == format_names.end()) {
    throw std::invalid_argument(
        fmt::format("chain format: expected {}, got \"{}\"", fmt::join(format_names, ", "), text));
  }
  return static_cast<ChainFormat>(found - format_names.begin());
}

std::string_view chain_format_name(ChainFormat format) {
  return format_names.at(static_cast<size_t>(format));
}

std::string_view error_class_name(ErrorClass error) {
  constexpr std::array<std::string_view, 7> names = {"none",   "format",     "stale_row", "arithmetic",
                                                     "policy", "final_copy", "truncated"};
  return names.at(static_cast<size_t>(error));
}

std::span<const ExtraWord> Family::extra_words() const { return {}; }

std::string Family::stratum(const Words&) const { return std::string(name()); }

double Family::training_weight(const Words&) const { return 1; }

std::span<const Family* const> exam_families() {
  static const std::array families = {&solution_set(), &undo(),        &null_space(),
                                      &column_space(), &block(),       &fact_count(),
                                      &fact_spaces(),  &member_rule(), &member()};
  return families;
}

std::span<const Family* const> all_families() {
  static const std::vector<const Family*> families = [] {
    std::vector<const Family*> list = {&row_reduction()};
    list.insert(list.end(), exam_families().begin(), exam_families().end());
    for (const FamilyTask& task : domain_tasks()) {
      const bool known = std::any_of(list.begin(), list.end(), [&](const Family* family) {
        return family->name() == task.family->name();
      });
      if (!known) list.push_back(task.family.get());
    }
    return list;
  }();
  return families;
}

const Family& find_family(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Family* family : all_families()) {
    if (family->name() == name) return *family;
    names.push_back(family->name());
  }
  throw ProblemError(fmt::format("unknown family \"{}\"; known are {}", name, fmt::join(names, ", ")));
}

Problem parse_problem(std::string_view text) {
  Problem problem{"", split_words(text)};
  Words& prompt = problem.prompt;
  if (prompt.empty()) throw ProblemError("the problem is empty; expected a family's name and its values");
  const Family& family = find_family(prompt[0]);
  if (prompt.back() != ";") prompt.emplace_back(";");
  const Vocabulary vocabulary(family.extra_words());
  for (const std::string& word : prompt) (void)vocabulary.id(word);
  family.validate(prompt);
  return problem;
}

std::string join_words(std::span<const std::string> words) {
  return fmt::format("{}", fmt::join(words, " "));
}

}  // namespace giantrabbit::data
