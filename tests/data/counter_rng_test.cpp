// The counter-based generator: fixed values (worked out by a separate implementation of the header's
// formula), independence of the key's parts, and unbiased ranges.
#include "data/counter_rng.h"

#include <array>
#include <limits>
#include <set>
#include <stdexcept>

#include <gtest/gtest.h>

namespace giantrabbit::data {
namespace {

TEST(CounterRng, GivesTheSameBitsEverywhere) {
  const std::array<std::pair<std::initializer_list<uint64_t>, std::array<uint64_t, 3>>, 3> expected = {{
      {{}, {0x48218226ff3cd4bf, 0xcd73fe3de975ac26, 0x7b476c5a5333d0ec}},
      {{1, 2, 3}, {0xd4acd552fd0fe68f, 0x263e5a6abdeb9e93, 0x99ed24a76ca77692}},
      {{3, 2, 1}, {0x3c7db646095d6c89, 0xf3e3ec13e3d7d3b0, 0x3e1aca0d1ea4e5f0}},
  }};
  CounterRng none{}, ascending{1, 2, 3}, descending{3, 2, 1};
  for (size_t draw = 0; draw < 3; ++draw) {
    EXPECT_EQ(none.next(), expected[0].second[draw]);
    EXPECT_EQ(ascending.next(), expected[1].second[draw]);
    EXPECT_EQ(descending.next(), expected[2].second[draw]);
  }
}

TEST(CounterRng, NeighbouringKeysShareNothing) {
  std::set<uint64_t> seen;
  for (uint64_t a = 0; a < 100; ++a) {
    for (uint64_t b = 0; b < 100; ++b) {
      CounterRng rng{a, b};
      seen.insert(rng.next());
      seen.insert(rng.next());
    }
  }
  EXPECT_EQ(seen.size(), 20000U);
}

TEST(CounterRng, UniformCoversItsRangeEvenly) {
  constexpr uint64_t seed = 21;
  SCOPED_TRACE(seed);
  CounterRng rng{seed};
  std::array<int, 7> counts{};
  constexpr int total = 70000;
  for (int i = 0; i < total; ++i) {
    const int64_t value = rng.uniform(-3, 3);
    ASSERT_GE(value, -3);
    ASSERT_LE(value, 3);
    ++counts[static_cast<size_t>(value + 3)];
  }
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - total / 7.) * (count - total / 7.) / (total / 7.);
  EXPECT_LT(chi_square, 27.9);  // 6 degrees of freedom: exceeded once in 10,000 seeds
}

TEST(CounterRng, UniformHandlesTheLargestRanges) {
  constexpr int64_t low = std::numeric_limits<int64_t>::min();
  constexpr int64_t high = std::numeric_limits<int64_t>::max();
  CounterRng whole{5}, bits{5};
  EXPECT_EQ(whole.uniform(low, high), static_cast<int64_t>(bits.next()));
  CounterRng rng{6};
  int upper = 0;
  // Three quarters of all 64-bit values: a plain remainder would hit the lower third twice as often.
  for (int i = 0; i < 3000; ++i) upper += rng.uniform(low, high / 2) > low / 2 ? 1 : 0;
  EXPECT_NEAR(upper, 2000, 130);  // five standard deviations
  EXPECT_EQ(rng.uniform(4, 4), 4);
  EXPECT_THROW((void)rng.uniform(1, 0), std::invalid_argument);
}

TEST(CounterRng, UnitStaysBelowOne) {
  CounterRng rng{7};
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double value = rng.unit();
    ASSERT_GE(value, 0);
    ASSERT_LT(value, 1);
    sum += value;
  }
  EXPECT_NEAR(sum / 10000, .5, .0145);  // five standard errors of a uniform mean
  EXPECT_FALSE(rng.chance(0));
  EXPECT_TRUE(rng.chance(1));
}

}  // namespace
}  // namespace giantrabbit::data
