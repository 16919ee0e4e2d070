// Intervals and tests for shares and paired comparisons. Counts in, probabilities and bounds out; pure
// functions. Resampling is in eval/resampling.h.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

namespace giantrabbit::eval {

inline constexpr double z_two_sided_95 = 1.959963984540054;
inline constexpr double z_one_sided_95 = 1.6448536269514722;
// The largest loss of accuracy that still counts as "keeps accuracy", fixed before anything was measured.
inline constexpr double non_inferiority_margin = 0.01;

struct Interval {
  double low = 0;
  double high = 1;
};
inline constexpr Interval unbounded{-std::numeric_limits<double>::infinity(),
                                    std::numeric_limits<double>::infinity()};

// A share with its 95% interval.
struct Share {
  int64_t count = 0;
  int64_t total = 0;
  Interval interval;
  double rate() const { return total == 0 ? 0 : static_cast<double>(count) / static_cast<double>(total); }
};

// Wilson score interval: keeps its coverage at 0, at 1 and for few items, where the textbook interval has
// width 0. total = 0 gives [0, 1]. Throws std::invalid_argument unless 0 <= count <= total.
Interval wilson(int64_t count, int64_t total, double z = z_two_sided_95);
Share share(int64_t count, int64_t total);

// A share of parts (steps) that come in clusters (problems): parts of one cluster fail together, so the
// Wilson interval is taken at the effective number of parts, total / design effect (Kish). When every part
// agrees the data say nothing about the correlation and a cluster counts as one part, the worst case.
struct Cluster {
  int64_t count = 0;
  int64_t total = 0;
};
Share clustered_share(std::span<const Cluster> clusters);

// The same items judged for two systems.
struct PairedCounts {
  int64_t both = 0;
  int64_t only_first = 0;
  int64_t only_second = 0;
  int64_t neither = 0;
  int64_t total() const { return both + only_first + only_second + neither; }
};

// McNemar's test of equal accuracy, exact: two-sided binomial probability of the discordant pairs at 1/2.
double mcnemar(const PairedCounts& pairs);

// Tango's score statistic (Statistics in Medicine 17, 1998) of H0: rate(second) - rate(first) = difference;
// standard normal under H0. Unlike the Wald statistic its variance is estimated under H0, so that a sample
// without discordant pairs is no proof of equality.
double tango_score(const PairedCounts& pairs, double difference);
// Differences that the score test does not reject: two-sided with z.
Interval tango_interval(const PairedCounts& pairs, double z = z_two_sided_95);

// A p-value and what is left of it after Holm's correction over the tests it is reported with.
struct Test {
  double probability = 1;
  double adjusted = 1;
  bool shown() const { return adjusted < 0.05; }
};

// Of "second is worse by the margin or more", one-sided: the larger of Tango's p-value and the exact
// probability, at the margin and the worst share of discordant pairs, of a score as favourable as the one
// observed. The score alone claims too much from few items.
struct NonInferiority : Test {
  double lower_bound = -1;  // one-sided 95% bound of rate(second) - rate(first); above -margin only if p < 5%
};
NonInferiority non_inferiority(const PairedCounts& pairs, double margin = non_inferiority_margin);

// Linear interpolation between order statistics; the values are copied and sorted. 0 for no values.
double quantile(std::span<const double> values, double probability);

}  // namespace giantrabbit::eval
