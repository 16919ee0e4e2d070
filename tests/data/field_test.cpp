// Fields: residues stay residues, every nonzero residue has its inverse, and the rationals are as before.
#include "data/field.h"

#include <stdexcept>

#include <gtest/gtest.h>

namespace giantrabbit::data {
namespace {

TEST(Field, ComputesWithResidues) {
  for (const int prime : {2, 3, 5, 7}) {
    const Field field(prime);
    for (int a = 0; a < prime; ++a) {
      for (int b = 0; b < prime; ++b) {
        EXPECT_EQ(field.subtract(a, b), Rational((a - b + prime) % prime));
        EXPECT_EQ(field.multiply(a, b), Rational(a * b % prime));
        if (b != 0) {
          EXPECT_EQ(field.multiply(field.divide(a, b), b), Rational(a)) << a << "/" << b;
        }
      }
      EXPECT_TRUE(field.contains(a));
      EXPECT_THROW((void)field.divide(a, 0), std::domain_error);
    }
    EXPECT_FALSE(field.contains(prime));
    EXPECT_FALSE(field.contains(-1));
    EXPECT_FALSE(field.contains(Rational(1, 2)));
  }
  EXPECT_EQ(Field(3).name(), "GF(3)");
}

TEST(Field, IsTheRationalsByDefault) {
  const Field field;
  EXPECT_TRUE(field.contains(Rational(-7, 2)));
  EXPECT_EQ(field.divide(3, 2), Rational(3, 2));
  EXPECT_EQ(field.subtract(1, Rational(3, 2)), Rational(-1, 2));
  EXPECT_EQ(field.multiply(4, Rational(3, 2)), Rational(6));
}

}  // namespace
}  // namespace giantrabbit::data
