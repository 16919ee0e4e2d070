// Pairs the items of evaluations and tests the differences; see comparison.h. The sentences are in
// conclusions.cpp.
#include "eval/comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include <fmt/format.h>

namespace giantrabbit::eval {
namespace {

constexpr double not_paired = std::numeric_limits<double>::quiet_NaN();

void check_pairs(const std::vector<EvaluationPair>& pairs) {
  if (pairs.empty()) throw std::invalid_argument("compare_variants: at least one pair of runs is needed");
  const std::vector<Judged>& items = pairs.front().first->items;
  for (const EvaluationPair& pair : pairs) {
    for (const Evaluation* evaluation : {pair.first, pair.second}) {
      if (evaluation->items.size() != items.size()) {
        throw std::invalid_argument(
            fmt::format("compare_variants: all runs need the same items, got {} and {}", items.size(),
                        evaluation->items.size()));
      }
      for (size_t index = 0; index < items.size(); ++index) {
        if (evaluation->items[index].problem.prompt != items[index].problem.prompt) {
          throw std::invalid_argument(
              fmt::format("compare_variants: item {} differs between the runs", index));
        }
      }
    }
  }
}

SeedResult count_pairs(const EvaluationPair& pair, const std::vector<size_t>& items) {
  SeedResult result{pair.seed, {}};
  for (const size_t index : items) {
    const bool first = pair.first->items[index].verdict.answer_right;
    const bool second = pair.second->items[index].verdict.answer_right;
    int64_t& cell = first ? (second ? result.pairs.both : result.pairs.only_first)
                          : (second ? result.pairs.only_second : result.pairs.neither);
    ++cell;
  }
  return result;
}

// The counts of one seed that stand for all: their means, rounded, on the same number of items.
PairedCounts mean_counts(const std::vector<SeedResult>& seeds) {
  const auto mean = [&](int64_t PairedCounts::*cell) -> int64_t {
    double sum = 0;
    for (const SeedResult& seed : seeds) sum += static_cast<double>(seed.pairs.*cell);
    return std::llround(sum / static_cast<double>(seeds.size()));
  };
  PairedCounts counts{0, mean(&PairedCounts::only_first), mean(&PairedCounts::only_second), 0};
  const int64_t concordant = seeds.front().pairs.total() - counts.only_first - counts.only_second;
  counts.both = std::min(mean(&PairedCounts::both), concordant);
  counts.neither = concordant - counts.both;
  return counts;
}

// Second - first of every seed and item in `items`.
std::vector<std::vector<double>> right_differences(const std::vector<EvaluationPair>& pairs,
                                                   const std::vector<size_t>& items) {
  std::vector<std::vector<double>> rows;
  for (const EvaluationPair& pair : pairs) {
    std::vector<double>& row = rows.emplace_back();
    for (const size_t index : items) {
      row.push_back(static_cast<double>(pair.second->items[index].verdict.answer_right) -
                    static_cast<double>(pair.first->items[index].verdict.answer_right));
    }
  }
  return rows;
}

// Lets the bootstrap over seeds and items have its say; see AccuracyDifference.
void widen(AccuracyDifference& result, const Resampled& resampled) {
  result.interval.low = std::min(result.interval.low, resampled.interval.low);
  result.interval.high = std::max(result.interval.high, resampled.interval.high);
  result.probability = std::max(result.probability, resampled.two_sided());
  NonInferiority& keeps = result.keeps;
  keeps.lower_bound = std::min(keeps.lower_bound, resampled.lower_bound());
  keeps.probability = std::max(keeps.probability, resampled.share_at_most(-non_inferiority_margin));
  keeps.adjusted = keeps.probability;
}

void compare_lengths(Comparison& comparison, const std::vector<EvaluationPair>& pairs) {
  ItemView first_solved;
  ItemView second_solved;
  std::vector<std::vector<double>> differences;
  for (const EvaluationPair& pair : pairs) {
    std::vector<double>& row = differences.emplace_back();
    for (size_t index = 0; index < pair.first->items.size(); ++index) {
      const Judged& a = pair.first->items[index];
      const Judged& b = pair.second->items[index];
      const bool both = a.verdict.answer_right && b.verdict.answer_right;
      row.push_back(both ? b.verdict.chain_words - a.verdict.chain_words : not_paired);
      if (!both) continue;
      first_solved.push_back(&a);
      second_solved.push_back(&b);
    }
  }
  comparison.solved_by_both = std::ssize(first_solved);
  comparison.first_lengths = measure_lengths(first_solved);
  comparison.second_lengths = measure_lengths(second_solved);
  comparison.words = paired_difference(differences);
}

Comparison::Strata compare_strata(const Grouping& grouping, const std::vector<EvaluationPair>& pairs) {
  Comparison::Strata strata{grouping.title, {}};
  for (size_t group = 0; group < grouping.groups.size(); ++group) {
    if (grouping.membership[group].empty()) continue;
    strata.groups.push_back({grouping.groups[group], accuracy_difference(pairs, grouping.membership[group])});
  }
  return strata;
}

}  // namespace

double SeedResult::difference() const {
  if (pairs.total() == 0) return 0;
  return static_cast<double>(pairs.only_second - pairs.only_first) / static_cast<double>(pairs.total());
}

AccuracyDifference accuracy_difference(const std::vector<EvaluationPair>& pairs,
                                       const std::vector<size_t>& items) {
  AccuracyDifference result;
  result.items = std::ssize(items);
  for (const EvaluationPair& pair : pairs) {
    result.seeds.push_back(count_pairs(pair, items));
    result.difference += result.seeds.back().difference() / static_cast<double>(pairs.size());
  }
  const PairedCounts counts = mean_counts(result.seeds);
  result.interval = tango_interval(counts);
  result.probability = mcnemar(counts);
  result.keeps = non_inferiority(counts);
  if (pairs.size() > 1) widen(result, seed_item_bootstrap(right_differences(pairs, items)));
  result.adjusted = result.probability;
  return result;
}

Comparison compare_variants(const std::string& first, const std::string& second,
                            const std::vector<EvaluationPair>& pairs,
                            const std::vector<Grouping>& groupings) {
  check_pairs(pairs);
  Comparison comparison;
  comparison.first = first;
  comparison.second = second;
  std::vector<size_t> items(pairs.front().first->items.size());
  std::iota(items.begin(), items.end(), size_t{0});
  comparison.accuracy = accuracy_difference(pairs, items);
  compare_lengths(comparison, pairs);
  for (const Grouping& grouping : groupings) {
    Comparison::Strata strata = compare_strata(grouping, pairs);
    if (strata.groups.size() > 1) comparison.strata.push_back(std::move(strata));
  }
  adjust(std::span(&comparison, 1));
  return comparison;
}

void adjust(std::span<Comparison> comparisons) {
  std::vector<Test*> accuracy;
  std::vector<Test*> groups;
  std::vector<Test*> margin;
  std::vector<Test*> lengths;
  for (Comparison& comparison : comparisons) {
    accuracy.push_back(&comparison.accuracy);
    margin.push_back(&comparison.accuracy.keeps);
    lengths.push_back(&comparison.words);
    for (Comparison::Strata& strata : comparison.strata) {
      for (Comparison::Stratum& stratum : strata.groups) groups.push_back(&stratum.accuracy);
    }
  }
  for (const auto& family : {accuracy, groups, margin, lengths}) adjust(family);
}

}  // namespace giantrabbit::eval
