// The field that the entries of a matrix belong to: the rationals, or the residues 0 .. p-1 modulo a prime p.
// Every result is exact and stays inside the field.
#pragma once

#include "data/rational.h"

namespace giantrabbit::data {

class Field {
 public:
  Field() = default;                              // the rationals
  explicit Field(int prime) : modulus_(prime) {}  // GF(p)
  bool contains(const Rational& value) const;
  std::string name() const;  // "the rationals" or "GF(3)"
  Rational subtract(const Rational& a, const Rational& b) const;
  Rational multiply(const Rational& a, const Rational& b) const;
  // Throws std::domain_error when b is zero.
  Rational divide(const Rational& a, const Rational& b) const;

 private:
  Rational residue(int64_t value) const;
  int modulus_ = 0;  // 0: none
};

}  // namespace giantrabbit::data
