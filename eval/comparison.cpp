// Pairs the items of two evaluations. The sentences claim only what a test shows: a difference that is not
// significant is never called equality.
#include "eval/comparison.h"

#include <cmath>
#include <stdexcept>

#include <fmt/format.h>

namespace giantrabbit::eval {
namespace {

std::string points(double share) { return fmt::format("{:+.1f}", 100 * share); }

std::string accuracy_sentence(const Comparison& comparison) {
  const std::string figures =
      fmt::format("{} points, 95% interval {} to {}, McNemar p = {:.3g}, {} items",
                  points(comparison.difference), points(comparison.interval.low),
                  points(comparison.interval.high), comparison.mcnemar, comparison.pairs.total());
  if (comparison.mcnemar >= 0.05 && comparison.interval.low <= 0 && comparison.interval.high >= 0) {
    return fmt::format(
        "No difference in accuracy between {} and {} is shown ({}); that is no proof of equality.",
        comparison.first, comparison.second, figures);
  }
  if (comparison.mcnemar >= 0.05) {
    return fmt::format(
        "Whether {} and {} differ in accuracy is at the border of what can be shown: the interval excludes "
        "0, the "
        "exact test does not reject equality ({}).",
        comparison.first, comparison.second, figures);
  }
  return fmt::format("{} is {} accurate than {} ({}).", comparison.second,
                     comparison.difference > 0 ? "more" : "less", comparison.first, figures);
}

std::string margin_sentence(const Comparison& comparison) {
  const std::string figures = fmt::format("one-sided 95% bound {} points, p = {:.3g}",
                                          points(comparison.keeps.lower_bound), comparison.keeps.probability);
  const double margin = 100 * non_inferiority_margin;
  if (comparison.keeps.shown) {
    return fmt::format("{} is shown to be within {:.0f} point of {} or better ({}).", comparison.second,
                       margin, comparison.first, figures);
  }
  return fmt::format("{} is not shown to be within {:.0f} point of {} ({}).", comparison.second, margin,
                     comparison.first, figures);
}

std::string length_sentence(const Comparison& comparison) {
  if (comparison.pairs.both == 0)
    return "No item was solved by both, so their chain lengths cannot be compared.";
  const Interval& interval = comparison.words.interval;
  const std::string figures =
      fmt::format("{:.1f} against {:.1f} words, difference {:+.2f}, 95% interval {:+.2f} to {:+.2f}",
                  comparison.second_lengths.words, comparison.first_lengths.words, comparison.words.mean,
                  interval.low, interval.high);
  if (interval.low <= 0 && interval.high >= 0) {
    return fmt::format("On the {} items both solve, no difference in chain length is shown ({}).",
                       comparison.pairs.both, figures);
  }
  return fmt::format("On the {} items both solve, {} writes {} chains ({}).", comparison.pairs.both,
                     comparison.second, comparison.words.mean > 0 ? "longer" : "shorter", figures);
}

}  // namespace

Comparison compare_runs(const std::string& first_name, const Evaluation& first,
                        const std::string& second_name, const Evaluation& second) {
  if (first.items.size() != second.items.size()) {
    throw std::invalid_argument(fmt::format("compare_runs: both runs need the same items, got {} and {}",
                                            first.items.size(), second.items.size()));
  }
  Comparison comparison;
  comparison.first = first_name;
  comparison.second = second_name;
  std::vector<size_t> solved;
  std::vector<double> first_words;
  std::vector<double> second_words;
  for (size_t index = 0; index < first.items.size(); ++index) {
    const Judged& a = first.items[index];
    const Judged& b = second.items[index];
    if (a.problem.prompt != b.problem.prompt) {
      throw std::invalid_argument(fmt::format("compare_runs: item {} differs between the runs", index));
    }
    const bool first_right = a.verdict.answer_right;
    const bool second_right = b.verdict.answer_right;
    int64_t& cell = first_right ? (second_right ? comparison.pairs.both : comparison.pairs.only_first)
                                : (second_right ? comparison.pairs.only_second : comparison.pairs.neither);
    ++cell;
    if (!first_right || !second_right) continue;
    solved.push_back(index);
    first_words.push_back(a.verdict.chain_words);
    second_words.push_back(b.verdict.chain_words);
  }
  comparison.difference = second.exact() - first.exact();
  comparison.interval = tango_interval(comparison.pairs);
  comparison.mcnemar = mcnemar(comparison.pairs);
  comparison.keeps = non_inferiority(comparison.pairs);
  comparison.first_lengths = measure_lengths(select(first, solved));
  comparison.second_lengths = measure_lengths(select(second, solved));
  comparison.words = paired_bootstrap(first_words, second_words);
  return comparison;
}

std::vector<std::string> conclusions(const Comparison& comparison) {
  return {accuracy_sentence(comparison), margin_sentence(comparison), length_sentence(comparison)};
}

}  // namespace giantrabbit::eval
