// Comparison -> sentences. A sentence claims only what a test shows after correction; a difference that is
// not significant is never called equality.
#include <fmt/format.h>

#include "eval/comparison.h"

namespace giantrabbit::eval {
namespace {

std::string points(double share) { return fmt::format("{:+.1f}", 100 * share); }

std::string figures_text(const AccuracyDifference& accuracy) {
  std::string text =
      fmt::format("{} points, 95% interval {} to {}, {}{}, {} items", points(accuracy.difference),
                  points(accuracy.interval.low), points(accuracy.interval.high),
                  accuracy.seeds.size() > 1 ? "" : "McNemar ", probability_text(accuracy), accuracy.items);
  if (accuracy.seeds.size() < 2) return text;
  text += fmt::format(", {} seeds:", accuracy.seeds.size());
  for (const SeedResult& seed : accuracy.seeds) text += " " + points(seed.difference());
  return text;
}

std::string accuracy_sentence(const Comparison& comparison) {
  const AccuracyDifference& accuracy = comparison.accuracy;
  const std::string figures = figures_text(accuracy);
  if (accuracy.shown()) {
    return fmt::format("{} is {} accurate than {} ({}).", comparison.second,
                       accuracy.difference > 0 ? "more" : "less", comparison.first, figures);
  }
  if (accuracy.interval.low <= 0 && accuracy.interval.high >= 0) {
    return fmt::format(
        "No difference in accuracy between {} and {} is shown ({}); that is no proof of equality.",
        comparison.first, comparison.second, figures);
  }
  return fmt::format(
      "Whether {} and {} differ in accuracy is at the border of what can be shown: the interval excludes 0, "
      "the "
      "test does not reject equality ({}).",
      comparison.first, comparison.second, figures);
}

std::string margin_sentence(const Comparison& comparison) {
  const NonInferiority& keeps = comparison.accuracy.keeps;
  const std::string figures =
      fmt::format("one-sided 95% bound {} points, {}", points(keeps.lower_bound), probability_text(keeps));
  return fmt::format("{} is {}shown to be within {:.0f} point of {}{} ({}).", comparison.second,
                     keeps.shown() ? "" : "not ", 100 * non_inferiority_margin, comparison.first,
                     keeps.shown() ? " or better" : "", figures);
}

std::string length_sentence(const Comparison& comparison) {
  if (comparison.solved_by_both == 0)
    return "No item was solved by both, so their chain lengths cannot be compared.";
  const Interval& interval = comparison.words.interval;
  const std::string figures =
      fmt::format("{:.1f} against {:.1f} words, difference {:+.2f}, 95% interval {:+.2f} to {:+.2f}, {}",
                  comparison.second_lengths.words, comparison.first_lengths.words, comparison.words.mean,
                  interval.low, interval.high, probability_text(comparison.words));
  const std::string where = fmt::format("On the {} {} both solve", comparison.solved_by_both,
                                        comparison.accuracy.seeds.size() > 1 ? "pairs of outputs" : "items");
  if (!comparison.words.shown()) {
    return fmt::format("{}, no difference in chain length is shown ({}).", where, figures);
  }
  return fmt::format("{}, {} writes {} chains ({}).", where, comparison.second,
                     comparison.words.mean > 0 ? "longer" : "shorter", figures);
}

// One sentence for every group where a difference is shown, one for all the others.
void append_strata(std::vector<std::string>& sentences, const Comparison& comparison,
                   const Comparison::Strata& strata) {
  size_t not_shown = 0;
  for (const Comparison::Stratum& stratum : strata.groups) {
    if (!stratum.accuracy.shown()) {
      ++not_shown;
      continue;
    }
    sentences.push_back(fmt::format("{}, {}: {} is {} accurate than {} ({}).", strata.title, stratum.group,
                                    comparison.second, stratum.accuracy.difference > 0 ? "more" : "less",
                                    comparison.first, figures_text(stratum.accuracy)));
  }
  const bool all = not_shown == strata.groups.size();
  if (not_shown > 0) {
    sentences.push_back(
        fmt::format("{}: a difference in accuracy between {} and {} is not shown in {} (Holm's correction "
                    "over all groups of all pairs).",
                    strata.title, comparison.first, comparison.second,
                    all ? fmt::format("any of {} groups", not_shown)
                        : fmt::format("the other {} of {} groups", not_shown, strata.groups.size())));
  }
}

}  // namespace

std::string probability_text(const Test& test) {
  std::string text = fmt::format("p = {:.3g}", test.probability);
  if (test.adjusted > test.probability)
    text += fmt::format(", {:.3g} after Holm's correction", test.adjusted);
  return text;
}

std::vector<std::string> conclusions(const Comparison& comparison) {
  std::vector<std::string> sentences{accuracy_sentence(comparison), margin_sentence(comparison),
                                     length_sentence(comparison)};
  for (const Comparison::Strata& strata : comparison.strata) append_strata(sentences, comparison, strata);
  return sentences;
}

}  // namespace giantrabbit::eval
