// Intervals and tests against values worked by hand or printed in the literature.
#include "eval/statistics.h"

#include <array>
#include <cmath>

#include <gtest/gtest.h>

namespace giantrabbit::eval {
namespace {

// Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3: 81/263, 15/148, 0/20, 1/29.
TEST(WilsonTest, MatchesLiterature) {
  const struct {
    int64_t count, total;
    double low, high;
  } cases[] = {
      {81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0.0, 0.1611}, {1, 29, 0.0061, 0.1718}};
  for (const auto& expected : cases) {
    const Interval interval = wilson(expected.count, expected.total);
    EXPECT_NEAR(interval.low, expected.low, 5e-5) << expected.count << " of " << expected.total;
    EXPECT_NEAR(interval.high, expected.high, 5e-5) << expected.count << " of " << expected.total;
  }
}

TEST(WilsonTest, NineOfNineMeasuresNothing) {
  EXPECT_NEAR(wilson(9, 9).low, 0.7009, 5e-5);
  EXPECT_EQ(wilson(9, 9).high, 1.0);
  EXPECT_EQ(wilson(0, 0).low, 0.0);
  EXPECT_EQ(wilson(0, 0).high, 1.0);
}

TEST(WilsonTest, ContainsTheRateAndRejectsImpossibleCounts) {
  for (const int64_t total : {1, 7, 100, 100000}) {
    for (int64_t count = 0; count <= total; count += std::max<int64_t>(1, total / 7)) {
      const Share part = share(count, total);
      EXPECT_LE(part.interval.low, part.rate());
      EXPECT_GE(part.interval.high, part.rate());
      EXPECT_GE(part.interval.low, 0);
      EXPECT_LE(part.interval.high, 1);
    }
  }
  EXPECT_THROW(wilson(5, 4), std::invalid_argument);
  EXPECT_THROW(wilson(-1, 4), std::invalid_argument);
}

TEST(ClusteredShareTest, IndependentPartsGiveThePlainInterval) {
  // One part per cluster is the plain case, up to the factor n/(n-1) of the variance estimate.
  std::vector<Cluster> clusters(1000, Cluster{1, 1});
  for (int index = 0; index < 100; ++index) clusters[static_cast<size_t>(index)].count = 0;
  const Share part = clustered_share(clusters);
  EXPECT_EQ(part.count, 900);
  EXPECT_NEAR(part.interval.low, wilson(900, 1000).low, 1e-4);
  EXPECT_NEAR(part.interval.high, wilson(900, 1000).high, 1e-4);
}

TEST(ClusteredShareTest, PartsThatFailTogetherCountOnce) {
  // Ten parts per cluster, all right or all wrong: as much as 100 independent parts tell.
  std::vector<Cluster> clusters(100, Cluster{10, 10});
  for (int index = 0; index < 10; ++index) clusters[static_cast<size_t>(index)].count = 0;
  const Share part = clustered_share(clusters);
  EXPECT_EQ(part.total, 1000);
  EXPECT_NEAR(part.interval.low, wilson(90, 100).low, 1e-3);
  EXPECT_NEAR(part.interval.high, wilson(90, 100).high, 1e-3);
}

TEST(ClusteredShareTest, AllRightIsJudgedByClusters) {
  const std::vector<Cluster> clusters(50, Cluster{8, 8});
  EXPECT_NEAR(clustered_share(clusters).interval.low, wilson(50, 50).low, 1e-12);
  EXPECT_EQ(clustered_share({}).total, 0);
  EXPECT_EQ(clustered_share(std::vector<Cluster>(3)).interval.high, 1.0);
}

TEST(McNemarTest, MatchesHandWorkedValues) {
  // 7 against 1: 2 (1 + 8) / 256. 5 against 0: 2 / 32. Equal counts and no pairs: 1.
  EXPECT_NEAR(mcnemar({1, 7, 1, 12}), 18.0 / 256, 1e-13);
  EXPECT_NEAR(mcnemar({0, 0, 5, 0}), 2.0 / 32, 1e-13);
  EXPECT_EQ(mcnemar({3, 4, 4, 1}), 1.0);
  EXPECT_EQ(mcnemar({10, 0, 0, 0}), 1.0);
  // Fagerland, Lydersen and Laake 2013: 16 against 6, exact conditional P = 0.0525.
  EXPECT_NEAR(mcnemar({59, 6, 16, 80}), 0.0525, 5e-5);
}

TEST(McNemarTest, ManyPairsNeitherOverflowNorVanish) {
  EXPECT_NEAR(mcnemar({0, 50000, 50000, 0}), 1.0, 1e-9);
  EXPECT_GE(mcnemar({0, 60000, 40000, 0}), 0.0);
  EXPECT_LT(mcnemar({0, 60000, 40000, 0}), 1e-12);
}

// Fagerland, Lydersen and Laake 2013 (BMC Medical Research Methodology 13:91), Tango score intervals of two
// studies; their difference is (second cell - third cell) / n.
TEST(TangoTest, MatchesLiterature) {
  const Interval airway = tango_interval({1, 7, 1, 12});
  EXPECT_NEAR(airway.low, -0.517, 5e-4);
  EXPECT_NEAR(airway.high, -0.026, 5e-4);
  const Interval response = tango_interval({59, 16, 6, 80});
  EXPECT_NEAR(response.low, -0.1240, 5e-5);
  EXPECT_NEAR(response.high, -0.0054, 5e-5);
}

TEST(TangoTest, EndsAtTheCriticalValueAndMirrors) {
  const PairedCounts pairs{800, 13, 29, 158};
  const Interval interval = tango_interval(pairs);
  EXPECT_NEAR(tango_score(pairs, interval.low), z_two_sided_95, 1e-9);
  EXPECT_NEAR(tango_score(pairs, interval.high), -z_two_sided_95, 1e-9);
  const Interval mirrored = tango_interval({800, 29, 13, 158});
  EXPECT_NEAR(mirrored.low, -interval.high, 1e-12);
  EXPECT_NEAR(mirrored.high, -interval.low, 1e-12);
}

// Without discordant pairs, when one item of 100 is lost: 0.99^298 = 0.0500, 0.99^299 = 0.0495. The score
// alone would be content with 99 z^2 = 267.9 items; its lower bound solves n d / (1 - d) = z^2.
TEST(NonInferiorityTest, AgreementAloneNeedsEnoughItems) {
  EXPECT_FALSE(non_inferiority({9, 0, 0, 0}).shown());
  EXPECT_FALSE(non_inferiority({298, 0, 0, 0}).shown());
  EXPECT_TRUE(non_inferiority({299, 0, 0, 0}).shown());
  EXPECT_NEAR(non_inferiority({299, 0, 0, 0}).probability, std::pow(0.99, 299), 1e-9);
  const double square = z_one_sided_95 * z_one_sided_95;
  EXPECT_NEAR(non_inferiority({9, 0, 0, 0}).lower_bound, -square / (9 + square), 1e-12);
}

// Three gained of three: probability 0.495^3 when half of the items are lost and all others gained. Tango's
// p-value alone is 0.04.
TEST(NonInferiorityTest, ThreeItemsShowNothing) {
  const NonInferiority result = non_inferiority({0, 0, 3, 0});
  EXPECT_NEAR(result.probability, std::pow(0.495, 3), 1e-9);
  EXPECT_FALSE(result.shown());
  EXPECT_LE(result.lower_bound, -non_inferiority_margin);
}

// The largest probability, 0.0506, lies at a share of lost items of 0.4976.
TEST(NonInferiorityTest, TheWorstShareMayBeNearTheHighest) {
  EXPECT_FALSE(non_inferiority({1, 37, 52, 0}).shown());
}

// At the margin no more than 5% of all outcomes may be claimed, whatever the share of discordant pairs.
TEST(NonInferiorityTest, ClaimsAreWrongInAtMostFivePercent) {
  constexpr int items = 25;
  for (const double lost_share : {0.01, 0.03, 0.07, 0.15, 0.3, 0.5}) {
    const double gained_share = lost_share - non_inferiority_margin;
    double claimed = 0;
    for (int lost = 0; lost <= items; ++lost) {
      for (int gained = 0; lost + gained <= items; ++gained) {
        if (!non_inferiority({items - lost - gained, lost, gained, 0}).shown()) continue;
        const int rest = items - lost - gained;
        claimed += std::exp(std::lgamma(items + 1) - std::lgamma(lost + 1) - std::lgamma(gained + 1) -
                            std::lgamma(rest + 1)) *
                   std::pow(lost_share, lost) * std::pow(gained_share, gained) *
                   std::pow(1 - lost_share - gained_share, rest);
      }
    }
    EXPECT_LE(claimed, 0.05) << lost_share;
  }
}

TEST(NonInferiorityTest, DependsOnDirection) {
  EXPECT_TRUE(non_inferiority({1900, 5, 60, 35}).shown());
  EXPECT_FALSE(non_inferiority({1900, 60, 5, 35}).shown());
  // Half a point worse, but with 2% discordant pairs 500 items cannot show "less than 1 point worse".
  EXPECT_FALSE(non_inferiority({480, 6, 4, 10}).shown());
  EXPECT_FALSE(non_inferiority({}).shown());
  EXPECT_EQ(non_inferiority({}).lower_bound, -1);
}

TEST(NonInferiorityTest, ShownExactlyWhenTheBoundClearsTheMargin) {
  for (int64_t lost = 0; lost < 40; ++lost) {
    const NonInferiority result = non_inferiority({1950 - lost, lost, 20, 30});
    EXPECT_EQ(result.shown(), result.lower_bound > -non_inferiority_margin) << lost;
  }
}

TEST(QuantileTest, InterpolatesBetweenOrderStatistics) {
  const std::array<double, 4> values{4, 1, 3, 2};
  EXPECT_DOUBLE_EQ(quantile(values, 0), 1);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 4);
  EXPECT_DOUBLE_EQ(quantile({}, 0.5), 0);
}

}  // namespace
}  // namespace giantrabbit::eval
