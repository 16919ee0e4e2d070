// Exact arithmetic: lowest terms, field laws on random values, order, text, and every way to overflow.
#include "data/rational.h"

#include <array>
#include <limits>
#include <stdexcept>

#include <gtest/gtest.h>

#include "data/counter_rng.h"

namespace giantrabbit::data {
namespace {

constexpr int64_t highest = std::numeric_limits<int64_t>::max();
constexpr int64_t lowest = std::numeric_limits<int64_t>::min();

TEST(Rational, KeepsLowestTermsAndAPositiveDenominator) {
  const Rational value(6, -4);
  EXPECT_EQ(value.numerator(), -3);
  EXPECT_EQ(value.denominator(), 2);
  EXPECT_EQ(Rational(0, -7).denominator(), 1);
  EXPECT_EQ(Rational(lowest, lowest), Rational(1));
  EXPECT_EQ(Rational(lowest, 2).numerator(), lowest / 2);
  EXPECT_TRUE(Rational(8, 4).is_integer());
  EXPECT_THROW(Rational(1, 0), std::invalid_argument);
}

TEST(Rational, ObeysTheFieldLaws) {
  constexpr uint64_t seed = 11;
  SCOPED_TRACE(seed);
  CounterRng rng{seed};
  const auto draw = [&] { return Rational(rng.uniform(-60, 60), rng.uniform(1, 9)); };
  for (int i = 0; i < 5000; ++i) {
    const Rational a = draw(), b = draw(), c = draw();
    EXPECT_EQ(a + b - b, a);
    EXPECT_EQ(a + b, b + a);
    EXPECT_EQ(a * (b + c), a * b + a * c);
    EXPECT_EQ(a - b, -(b - a));
    if (!b.is_zero()) {
      EXPECT_EQ(a * b / b, a);
    }
    // Denominators up to 9: different values differ by at least 1/72, far above double rounding.
    const double difference = static_cast<double>(a.numerator()) / static_cast<double>(a.denominator()) -
                              static_cast<double>(b.numerator()) / static_cast<double>(b.denominator());
    EXPECT_EQ(a < b, difference < -1e-6);
    EXPECT_EQ(a > b, difference > 1e-6);
  }
}

TEST(Rational, ThrowsInsteadOfWrapping) {
  EXPECT_THROW(Rational(highest) + Rational(1), std::overflow_error);
  EXPECT_THROW(Rational(lowest) - Rational(1), std::overflow_error);
  EXPECT_THROW(Rational(highest) * Rational(2), std::overflow_error);
  EXPECT_THROW(-Rational(lowest), std::overflow_error);
  EXPECT_THROW(Rational(lowest) / Rational(-1), std::overflow_error);
  EXPECT_THROW(Rational(lowest, -1), std::overflow_error);
  EXPECT_THROW(Rational(1, lowest), std::overflow_error);
  EXPECT_THROW(Rational(1, highest) + Rational(1, highest - 1), std::overflow_error);
  EXPECT_THROW(Rational(1, highest) * Rational(1, 2), std::overflow_error);
}

TEST(Rational, AllowsLargeIntermediatesWhenTheResultFits) {
  EXPECT_EQ(Rational(highest, 3) * Rational(3, highest), Rational(1));
  EXPECT_EQ(Rational(1, highest) - Rational(1, highest), Rational(0));
  EXPECT_LT(Rational(highest - 1, highest), Rational(1));
  EXPECT_LT(Rational(lowest), Rational(highest, 2));
}

TEST(Rational, DivisionByZeroIsADomainError) { EXPECT_THROW(Rational(3) / Rational(0), std::domain_error); }

TEST(Rational, ReadsWhatItWrites) {
  for (const auto& [text, value] :
       {std::pair{"3", Rational(3)}, {"-3", Rational(-3)}, {"-3/2", Rational(-3, 2)}}) {
    EXPECT_EQ(Rational::parse(text), value);
    EXPECT_EQ(value.text(), text);
  }
  EXPECT_EQ(Rational::parse("4/8"), Rational(1, 2));
}

TEST(Rational, RefusesEverythingElse) {
  for (const char* text : {"", "-", "+3", " 3", "3 ", "3/", "/2", "1/-2", "3/0", "1/2/3", "2.5", "1e3", "x",
                           "9223372036854775808"}) {
    try {
      (void)Rational::parse(text);
      ADD_FAILURE() << "accepted " << text;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace giantrabbit::data
