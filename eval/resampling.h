// Intervals by resampling, and probabilities corrected for the number of tests. Pure functions: the draws
// come from a counter-based generator, so the same numbers give the same result on every machine.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/statistics.h"

namespace giantrabbit::eval {

// What resampling says about a mean.
struct Resampled {
  double mean = 0;
  Interval interval{0, 0};                   // 95%, percentiles
  std::vector<double> means;                 // one per replicate, ascending
  double lower_bound() const;                // one-sided 95%
  double share_at_most(double value) const;  // p-value of "the mean is `value` or less"
  double two_sided() const;                  // p-value of "the mean is 0"
};

// values[seed][item], NaN where an item does not count. Every replicate draws seeds with replacement, then
// items with replacement, the same items for all its seeds: seeds that share their items are not independent
// measurements of them. One seed: the ordinary bootstrap of items. With fewer than about five seeds the
// variance between seeds is underestimated (by (S - 1) / S), so every seed has to be shown as well. Throws
// std::invalid_argument when the rows differ in length.
Resampled seed_item_bootstrap(std::span<const std::vector<double>> values, uint64_t seed = 1,
                              int replicates = 4000);

// Two-sided p-value of "the differences are symmetric around 0": how often random signs make their mean as
// far from 0 as it is; exact up to 12 of them. NaN does not count. Below 6 differences never under 5%.
double sign_flip(std::span<const double> differences, uint64_t seed = 1, int replicates = 4000);

// A mean with its 95% interval.
struct Estimate {
  double mean = 0;
  Interval interval{0, 0};
};

// Mean of second - first over the same items.
struct PairedDifference : Estimate, Test {
  int64_t items = 0;  // those that count for some seed
};
// differences[seed][item], NaN where an item does not count. Interval: seed_item_bootstrap; without bounds
// below 6 items, from which nothing can be shown at 5%. p-value: sign_flip of every item's mean over the
// seeds; of several seeds the larger of that and the bootstrap's.
PairedDifference paired_difference(std::span<const std::vector<double>> differences);

// Holm's step-down correction: the adjusted p-value of each test, so that rejecting those below 5% keeps the
// chance of any false rejection among all of them at 5%, whatever their dependence.
std::vector<double> holm(std::span<const double> probabilities);
// The same for tests that make one family.
void adjust(std::span<Test* const> family);

}  // namespace giantrabbit::eval
