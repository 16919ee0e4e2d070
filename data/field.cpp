// In: two elements of the field. Out: their difference, product or quotient. Kept invariant: modulo p the
// result is one of 0 .. p-1, so products of two results cannot overflow.
#include "data/field.h"

#include <stdexcept>

#include <fmt/format.h>

namespace giantrabbit::data {

bool Field::contains(const Rational& value) const {
  return modulus_ == 0 || (value.is_integer() && value >= Rational(0) && value < Rational(modulus_));
}

std::string Field::name() const { return modulus_ == 0 ? "the rationals" : fmt::format("GF({})", modulus_); }

Rational Field::residue(int64_t value) const {
  const int64_t rest = value % modulus_;
  return rest < 0 ? rest + modulus_ : rest;
}

Rational Field::subtract(const Rational& a, const Rational& b) const {
  return modulus_ == 0 ? a - b : residue(a.numerator() - b.numerator());
}

Rational Field::multiply(const Rational& a, const Rational& b) const {
  return modulus_ == 0 ? a * b : residue(a.numerator() * b.numerator());
}

Rational Field::divide(const Rational& a, const Rational& b) const {
  if (modulus_ == 0) return a / b;
  // The primes are tiny: the inverse of b is found by trying.
  for (int64_t inverse = 1; inverse < modulus_; ++inverse) {
    if (residue(b.numerator() * inverse) == Rational(1)) return residue(a.numerator() * inverse);
  }
  throw std::domain_error(fmt::format("{} / {}: division by zero in {}", a.text(), b.text(), name()));
}

}  // namespace giantrabbit::data
