// Two variants judged on the same items: what the figures allow to conclude, in numbers and in plain
// sentences. A variant is one run or several that differ in their seed; runs are paired by seed, outputs by
// item.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/metrics.h"
#include "eval/resampling.h"

namespace giantrabbit::eval {

// Two runs of one seed on the same items, in the same order.
struct EvaluationPair {
  const Evaluation* first = nullptr;
  const Evaluation* second = nullptr;
  int64_t seed = 0;
};

// One seed's share of a comparison; differences are second - first.
struct SeedResult {
  int64_t seed = 0;
  PairedCounts pairs;  // right answers
  double difference() const;
};

// How the accuracy of two variants differs on a set of items. One seed: Tango's score interval, McNemar's
// exact test and the score test of non-inferiority. Several seeds: a bootstrap over seeds, then items; since
// it has nothing to resample where all outputs agree, the tests for one seed at the mean counts have to pass
// as well: the interval is the wider, each p-value the larger, the bound the lower of the two.
struct AccuracyDifference : Test {  // of equal accuracy, two-sided
  std::vector<SeedResult> seeds;
  int64_t items = 0;
  double difference = 0;
  Interval interval;     // 95%
  NonInferiority keeps;  // second within the margin of first
};

// `items`: indices of the items that count; every pair has them.
AccuracyDifference accuracy_difference(const std::vector<EvaluationPair>& pairs,
                                       const std::vector<size_t>& items);

struct Comparison {
  std::string first;
  std::string second;
  AccuracyDifference accuracy;
  int64_t solved_by_both = 0;  // outputs, over all seeds
  Lengths first_lengths;       // on items both solved
  Lengths second_lengths;
  PairedDifference words;  // chain words on items both solved

  // The same test in every group of a grouping.
  struct Stratum {
    std::string group;
    AccuracyDifference accuracy;
  };
  struct Strata {
    std::string title;
    std::vector<Stratum> groups;
  };
  std::vector<Strata> strata;
};

// Throws std::invalid_argument without pairs or when the items differ.
Comparison compare_variants(const std::string& first, const std::string& second,
                            const std::vector<EvaluationPair>& pairs, const std::vector<Grouping>& groupings);
// Holm's correction of what one report claims, a family for each kind of claim over all its comparisons:
// accuracy on all items, accuracy in groups, "within the margin", chain length. compare_variants has done it
// for its one comparison.
void adjust(std::span<Comparison> comparisons);

// What may be concluded, one sentence each: equality of accuracy, "keeps accuracy", chain length, groups.
std::vector<std::string> conclusions(const Comparison& comparison);

// "p = 0.012", and if Holm's correction changed it ", 0.024 after Holm's correction".
std::string probability_text(const Test& test);

}  // namespace giantrabbit::eval
