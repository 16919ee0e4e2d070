// Counts verdicts; see metrics.h. Groups depend on the problems only, never on a model's output, so that all
// compared runs have the same ones.
#include "eval/metrics.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>
#include <optional>

#include <fmt/format.h>

namespace giantrabbit::eval {
namespace {

bool is_number(std::string_view word) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc() && end == word.data() + word.size();
}

// "3x4" when the words behind the family's name are the rows of one matrix, each ended by ";". A single row
// is a list of numbers (m, n and the rank of the FACT families).
std::string matrix_size(const data::Words& prompt) {
  int64_t rows = 0;
  int64_t columns = -1;
  int64_t in_row = 0;
  for (size_t index = 1; index < prompt.size(); ++index) {
    const std::string& word = prompt[index];
    if (is_number(word)) {
      ++in_row;
    } else if (word == ";") {
      if (columns >= 0 && in_row != columns) return "";
      columns = in_row;
      in_row = 0;
      ++rows;
    } else if (!word.starts_with('/')) {  // a denominator belongs to the number before it
      return "";
    }
  }
  return rows < 2 || in_row != 0 ? "" : fmt::format("{}x{}", rows, columns);
}

// The family's own group; families that name only themselves are shown by the matrix of their prompt.
std::string size_of(const Judged& item) {
  if (is_unreadable(item)) return "";
  const data::Family& family = data::find_family(item.problem.prompt.at(0));
  const std::string group = family.stratum(item.problem.prompt);
  return group == family.name() ? matrix_size(item.problem.prompt) : group;
}

bool has_large_number(const data::Words& words) {
  return std::ranges::any_of(words, [](const std::string& word) {
    return is_number(word) && std::labs(std::strtol(word.c_str(), nullptr, 10)) > 30;
  });
}

// Empty when the reference itself leaves the vocabulary's range.
data::Words reference_of(const data::Family& family, const data::Words& prompt) {
  try {
    return family.solve(prompt, data::ChainFormat::prod);
  } catch (const data::ProblemError&) {
    return {};
  }
}

void add(Grouping& grouping, const std::string& group, size_t item) {
  auto found = std::ranges::find(grouping.groups, group);
  if (found == grouping.groups.end()) {
    grouping.membership.emplace_back();
    found = grouping.groups.insert(found, group);
  }
  grouping.membership[static_cast<size_t>(found - grouping.groups.begin())].push_back(item);
}

Cluster count_steps(const data::Verdict& verdict, bool data::StepVerdict::*property) {
  return {std::ranges::count_if(verdict.steps, [&](const data::StepVerdict& step) { return step.*property; }),
          static_cast<int64_t>(verdict.steps.size())};
}

}  // namespace

ItemView view(const Evaluation& evaluation) {
  ItemView items;
  for (const Judged& item : evaluation.items) items.push_back(&item);
  return items;
}

ItemView select(const Evaluation& evaluation, const std::vector<size_t>& indices) {
  ItemView items;
  for (const size_t index : indices) items.push_back(&evaluation.items.at(index));
  return items;
}

Lengths measure_lengths(const ItemView& items) {
  Lengths lengths;
  lengths.items = static_cast<int64_t>(items.size());
  if (items.empty()) return lengths;
  for (const Judged* item : items) {
    lengths.words += item->verdict.chain_words;
    lengths.reference_words += item->verdict.reference_chain_words;
    lengths.steps += static_cast<double>(item->verdict.steps.size());
  }
  const auto count = static_cast<double>(items.size());
  lengths.words /= count;
  lengths.reference_words /= count;
  lengths.steps /= count;
  return lengths;
}

Metrics measure(const ItemView& items) {
  int64_t right = 0;
  int64_t valid = 0;
  int64_t right_with_error = 0;
  int64_t truncated = 0;
  std::vector<Cluster> valid_steps;
  std::vector<Cluster> reference_steps;
  Metrics metrics;
  for (const Judged* item : items) {
    const data::Verdict& verdict = item->verdict;
    right += verdict.answer_right ? 1 : 0;
    valid += verdict.chain_valid ? 1 : 0;
    right_with_error += verdict.answer_right && !verdict.chain_valid ? 1 : 0;
    truncated += verdict.finished ? 0 : 1;
    ++metrics.errors.at(static_cast<size_t>(verdict.error));
    valid_steps.push_back(count_steps(verdict, &data::StepVerdict::valid));
    reference_steps.push_back(count_steps(verdict, &data::StepVerdict::as_reference));
  }
  const auto total = static_cast<int64_t>(items.size());
  metrics.exact = share(right, total);
  metrics.chain_valid = share(valid, total);
  metrics.trace_error = share(right_with_error, right);
  metrics.truncated = share(truncated, total);
  metrics.steps_valid = clustered_share(valid_steps);
  metrics.steps_as_reference = clustered_share(reference_steps);
  metrics.lengths = measure_lengths(items);
  return metrics;
}

std::vector<Share> validity_by_step(const ItemView& items, size_t most) {
  std::vector<Cluster> steps;
  for (const Judged* item : items) {
    const std::vector<data::StepVerdict>& written = item->verdict.steps;
    const size_t count = std::min(most, written.size());
    if (steps.size() < count) steps.resize(count);
    for (size_t step = 0; step < count; ++step) {
      ++steps[step].total;
      steps[step].count += written[step].valid ? 1 : 0;
    }
  }
  std::vector<Share> shares;
  for (const Cluster& step : steps) shares.push_back(share(step.count, step.total));
  return shares;
}

Grouping by_family(std::span<const Judged> items) {
  Grouping grouping{"By family", {}, {}};
  for (const data::Family* family : data::all_families()) {
    for (size_t index = 0; index < items.size(); ++index) {
      if (items[index].problem.prompt.at(0) == family->name())
        add(grouping, std::string(family->name()), index);
    }
  }
  return grouping;
}

Grouping by_size(std::span<const Judged> items) {
  std::map<std::string, std::vector<size_t>> sizes;
  for (size_t index = 0; index < items.size(); ++index) {
    const std::string size = size_of(items[index]);
    if (!size.empty()) sizes[size].push_back(index);
  }
  Grouping grouping{"By size", {}, {}};
  for (auto& [size, indices] : sizes) {
    grouping.groups.push_back(size);
    grouping.membership.push_back(std::move(indices));
  }
  return grouping;
}

Grouping by_subset(std::span<const Judged> items) {
  Grouping grouping{"By difficulty",
                    {"without fraction", "with fraction", "at least 4 operations", "at least 6 operations",
                     "a number above 30"},
                    std::vector<std::vector<size_t>>(5)};
  for (size_t index = 0; index < items.size(); ++index) {
    const data::Words& prompt = items[index].problem.prompt;
    if (is_unreadable(items[index])) continue;
    // Facts of the written-out reference, whatever format the compared runs write.
    const data::Family& family = data::find_family(prompt.at(0));
    const data::Verdict facts = family.judge(prompt, {}, data::ChainFormat::prod);
    grouping.membership[facts.has_fraction ? 1 : 0].push_back(index);
    if (facts.reference_steps >= 4) grouping.membership[2].push_back(index);
    if (facts.reference_steps >= 6) grouping.membership[3].push_back(index);
    if (has_large_number(prompt) || has_large_number(reference_of(family, prompt))) {
      grouping.membership[4].push_back(index);
    }
  }
  return grouping;
}

}  // namespace giantrabbit::eval
