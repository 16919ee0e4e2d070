// In: task, format, split, seed and an index. Out: the example with that index. Kept invariant: attempt a of
// an index draws only from the key (task, split, seed, index, a), so examples neither depend on one another
// nor on order.
#include "data/example_source.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "data/families/families.h"

namespace giantrabbit::data {
namespace {

// A split holds at least 1/20 of the problems and training keeps at least about 1/25 of them; far beyond that
// the family has no problem of its own in the split.
constexpr uint64_t most_attempts = 100'000;

constexpr std::string_view row_reduction_task = "row-reduction";
constexpr std::string_view row_reduction_4x5_task = "row-reduction-4x5";
constexpr std::string_view exam_task = "exam";

// "FACT_COUNT" -> "fact-count"
std::string task_name(std::string_view family) {
  std::string name(family);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char letter) {
    return letter == '_' ? '-'
                         : static_cast<char>(letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter);
  });
  return name;
}

std::vector<const Family*> task_families(std::string_view task) {
  if (task == row_reduction_task) return {&row_reduction()};
  if (task == row_reduction_4x5_task) return {&row_reduction_4x5()};
  const auto exam = exam_families();
  if (task == exam_task) return {exam.begin(), exam.end()};
  for (const Family* family : exam) {
    if (task == task_name(family->name())) return {family};
  }
  for (const FamilyTask& domain : domain_tasks()) {
    if (task == domain.name) return {domain.family.get()};
  }
  if (const Family* family = find_letter_sorting(task)) return {family};
  throw std::invalid_argument(
      fmt::format("unknown task \"{}\"; known are {}", task, fmt::join(ExampleSource::tasks(), ", ")));
}

Vocabulary vocabulary_of(std::span<const Family* const> families) {
  std::vector<ExtraWord> extra;
  bool base = false;
  for (const Family* family : families) {
    base = base || family->needs_base_words();
    const auto words = family->extra_words();
    extra.insert(extra.end(), words.begin(), words.end());
  }
  return Vocabulary(extra, base);
}

}  // namespace

ExampleSource::ExampleSource(std::string_view task, ChainFormat format, Split split, uint64_t seed)
    : families_(task_families(task)),
      format_(format),
      split_(split),
      seed_(seed),
      task_key_(fnv1a64(task)),
      vocabulary_(vocabulary_of(families_)) {}

Vocabulary ExampleSource::task_vocabulary(std::string_view task) {
  return vocabulary_of(task_families(task));
}

std::vector<std::string> ExampleSource::tasks() {
  std::vector<std::string> names = {std::string(row_reduction_task), std::string(row_reduction_4x5_task),
                                    std::string(exam_task)};
  for (const Family* family : exam_families()) names.push_back(task_name(family->name()));
  for (const FamilyTask& domain : domain_tasks()) names.push_back(domain.name);
  return names;
}

Example ExampleSource::example(uint64_t index) const {
  const Family& family = *families_[index % families_.size()];
  for (uint64_t attempt = 0; attempt < most_attempts; ++attempt) {
    CounterRng rng{task_key_, static_cast<uint64_t>(split_), seed_, index, attempt};
    Problem problem = family.generate(rng);
    const std::string text = family.canonical(problem.prompt);
    if (family.is_split() && (split_of(text) != split_ || is_exam_item(text))) continue;
    if (split_ == Split::train && !rng.chance(family.training_weight(problem.prompt))) continue;
    Example example{std::move(problem), {}, {}};
    example.prompt = vocabulary_.encode(example.problem.prompt);
    example.target = vocabulary_.encode(family.solve(example.problem.prompt, format_));
    return example;
  }
  throw std::runtime_error(
      fmt::format("no problem of {} falls into this split after {} attempts", family.name(), most_attempts));
}

}  // namespace giantrabbit::data
