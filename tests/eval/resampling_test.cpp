// Bootstraps against distributions worked by hand and against a plain second implementation; Holm against
// values worked by hand.
#include "eval/resampling.h"

#include <array>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace giantrabbit::eval {
namespace {

constexpr double absent = std::numeric_limits<double>::quiet_NaN();

PairedDifference difference_of(const std::vector<double>& differences) {
  return paired_difference(std::span(&differences, 1));
}

TEST(PairedDifferenceTest, ConstantDifferenceHasNoWidth) {
  const PairedDifference difference = difference_of({0.5, 0.5, absent, 0.5, 0.5, 0.5, 0.5});
  EXPECT_DOUBLE_EQ(difference.mean, 0.5);
  EXPECT_DOUBLE_EQ(difference.interval.low, 0.5);
  EXPECT_DOUBLE_EQ(difference.interval.high, 0.5);
  EXPECT_EQ(difference.items, 6);
}

TEST(PairedDifferenceTest, WidthMatchesTheStandardErrorAndIsDeterministic) {
  std::vector<double> differences(400);
  for (size_t index = 0; index < differences.size(); ++index)
    differences[index] = index % 2 == 0 ? 1.0 : -1.0;
  const PairedDifference difference = difference_of(differences);
  // Standard error 1/20; a percentile of 4000 replicates strays by about 0.03 standard errors, here 0.0017.
  EXPECT_NEAR(difference.interval.low, -1.96 / 20, 0.006);
  EXPECT_NEAR(difference.interval.high, 1.96 / 20, 0.006);
  EXPECT_EQ(difference_of(differences).interval.low, difference.interval.low);
  EXPECT_EQ(difference_of(differences).probability, difference.probability);
}

TEST(PairedDifferenceTest, FewItemsShowNothingHoweverEqualTheyAre) {
  EXPECT_FALSE(difference_of({0.09}).shown());
  EXPECT_TRUE(std::isinf(difference_of({0.09}).interval.low));
  EXPECT_DOUBLE_EQ(difference_of({3, 3, 3, 3, 3}).probability, 2. / 32);
  EXPECT_DOUBLE_EQ(difference_of({3, 3, 3, 3, 3, 3}).probability, 2. / 64);
  EXPECT_EQ(paired_difference({}).probability, 1);
}

// Two seeds that disagree: their items' means are 0.
TEST(PairedDifferenceTest, SeedsAreAveragedItemByItem) {
  const std::vector<std::vector<double>> rows{{1, 1, 1, 1, 1, 1, 1}, {-1, -1, -1, -1, -1, -1, absent}};
  const PairedDifference difference = paired_difference(rows);
  EXPECT_EQ(difference.items, 7);
  EXPECT_DOUBLE_EQ(difference.probability, 1);
}

// 1 - 2 + 3 = 2; of the eight sums of +-1 +-2 +-3 six are at least as far from 0.
TEST(SignFlipTest, MatchesHandWorkedValues) {
  EXPECT_DOUBLE_EQ(sign_flip(std::array{1., -2., 3.}), 6. / 8);
  EXPECT_DOUBLE_EQ(sign_flip(std::array{1., 2., absent, 3.}), 2. / 8);
  EXPECT_DOUBLE_EQ(sign_flip({}), 1);
  EXPECT_DOUBLE_EQ(sign_flip(std::array{0., 0., 0.}), 1);
}

// 20 differences of 1, 15 of them positive: twice the binomial probability of 15 or more, 0.0414.
TEST(SignFlipTest, DrawnSignsAgreeWithTheBinomial) {
  std::vector<double> differences(20, 1.0);
  std::fill_n(differences.begin(), 5, -1.0);
  EXPECT_NEAR(sign_flip(differences), 0.0414, 0.012);
}

// Three seeds whose items all have the value 0, 0 and 3: the mean of a replicate is the number of times the
// third was drawn, Binomial(3, 1/3): 8, 12, 6 and 1 of 27.
TEST(SeedItemBootstrapTest, SeedsAreDrawnWithReplacement) {
  const std::vector<std::vector<double>> values{{0, 0}, {0, 0}, {3, 3}};
  const Resampled resampled = seed_item_bootstrap(values);
  EXPECT_DOUBLE_EQ(resampled.mean, 1);
  const auto share = [&](double value) {
    return static_cast<double>(std::ranges::count(resampled.means, value)) / 4000;
  };
  // Standard error of a share of 4000: below 0.008.
  EXPECT_NEAR(share(0), 8. / 27, 0.03);
  EXPECT_NEAR(share(1), 12. / 27, 0.03);
  EXPECT_NEAR(share(2), 6. / 27, 0.03);
  EXPECT_NEAR(share(3), 1. / 27, 0.015);
}

// All seeds have the same differences: more seeds must not make the items look like more items.
TEST(SeedItemBootstrapTest, SharedItemsCountOnce) {
  std::vector<double> row(300);
  for (size_t item = 0; item < row.size(); ++item) row[item] = item % 3 == 0 ? 1 : 0;
  const std::vector<std::vector<double>> once{row};
  const std::vector<std::vector<double>> five(5, row);
  const double width_once = seed_item_bootstrap(once).interval.high - seed_item_bootstrap(once).interval.low;
  const double width_five = seed_item_bootstrap(five).interval.high - seed_item_bootstrap(five).interval.low;
  const double expected = 2 * 1.96 * std::sqrt(2. / 9 / 300);
  EXPECT_NEAR(width_once, expected, 0.1 * expected);
  EXPECT_NEAR(width_five, expected, 0.1 * expected);
}

// Written again in the plainest way, with another generator.
TEST(SeedItemBootstrapTest, AgreesWithASecondImplementation) {
  constexpr unsigned random_seed = 20260;
  SCOPED_TRACE(testing::Message() << "random seed " << random_seed);
  std::mt19937 random(random_seed);
  std::normal_distribution<double> normal;
  std::vector<std::vector<double>> values(4, std::vector<double>(60));
  for (std::vector<double>& row : values) {
    const double seed_effect = 0.3 * normal(random);
    for (double& value : row) value = 0.2 + seed_effect + normal(random);
  }
  values[1][7] = absent;
  values[3][59] = absent;
  std::vector<double> means;
  for (int replicate = 0; replicate < 4000; ++replicate) {
    std::array<size_t, 4> seeds{};
    std::array<size_t, 60> items{};
    for (size_t& seed : seeds) seed = random() % 4;
    for (size_t& item : items) item = random() % 60;
    double sum = 0;
    double count = 0;
    for (const size_t seed : seeds) {
      for (const size_t item : items) {
        if (std::isnan(values[seed][item])) continue;
        sum += values[seed][item];
        ++count;
      }
    }
    means.push_back(sum / count);
  }
  const Resampled resampled = seed_item_bootstrap(values);
  for (const double probability : {0.025, 0.05, 0.25, 0.5, 0.75, 0.975}) {
    EXPECT_NEAR(quantile(resampled.means, probability), quantile(means, probability), 0.03) << probability;
  }
  EXPECT_NEAR(resampled.lower_bound(), quantile(means, 0.05), 0.03);
}

TEST(SeedItemBootstrapTest, ProbabilitiesCountReplicates) {
  const std::vector<std::vector<double>> always{{1, 1, 1}};
  EXPECT_DOUBLE_EQ(seed_item_bootstrap(always).two_sided(), 2. / 4001);
  EXPECT_DOUBLE_EQ(seed_item_bootstrap(always).share_at_most(0.5), 1. / 4001);
  EXPECT_DOUBLE_EQ(seed_item_bootstrap(always).share_at_most(1), 1);
  const std::vector<std::vector<double>> equal{{0, 0, 0}};
  EXPECT_DOUBLE_EQ(seed_item_bootstrap(equal).two_sided(), 1);
}

TEST(SeedItemBootstrapTest, NothingToResample) {
  EXPECT_EQ(seed_item_bootstrap({}).mean, 0);
  const std::vector<std::vector<double>> none{{absent, absent}};
  EXPECT_EQ(seed_item_bootstrap(none).mean, 0);
  EXPECT_TRUE(seed_item_bootstrap(none).means.empty());
  const std::vector<std::vector<double>> ragged{{1, 2}, {1}};
  EXPECT_THROW(seed_item_bootstrap(ragged), std::invalid_argument);
}

// Worked by hand: sorted 0.005 0.01 0.03 0.04 times 4 3 2 1 is 0.02 0.03 0.06 0.04, then never falling.
TEST(HolmTest, MatchesKnownValues) {
  const std::array<double, 4> four{0.01, 0.04, 0.03, 0.005};
  const std::vector<double> adjusted = holm(four);
  EXPECT_NEAR(adjusted[0], 0.03, 1e-12);
  EXPECT_NEAR(adjusted[1], 0.06, 1e-12);
  EXPECT_NEAR(adjusted[2], 0.06, 1e-12);
  EXPECT_NEAR(adjusted[3], 0.02, 1e-12);
}

TEST(HolmTest, OneTestIsUnchangedAndNoneExceedsOne) {
  const std::array<double, 1> one{0.04};
  EXPECT_DOUBLE_EQ(holm(one)[0], 0.04);
  const std::array<double, 3> large{0.9, 0.5, 0.7};
  for (const double value : holm(large)) EXPECT_DOUBLE_EQ(value, 1);
  EXPECT_TRUE(holm({}).empty());
}

}  // namespace
}  // namespace giantrabbit::eval
