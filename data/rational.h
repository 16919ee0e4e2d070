// Exact rational numbers: lowest terms, positive denominator. Every operation checks for 64-bit overflow and
// throws std::overflow_error instead of wrapping.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace giantrabbit::data {

class Rational {
 public:
  Rational(int64_t value = 0)
      : numerator_(value) {}  // NOLINT(google-explicit-constructor): integers are rationals
  // Throws std::invalid_argument when the denominator is zero.
  Rational(int64_t numerator, int64_t denominator);
  // Reads "3", "-3" or "-3/2"; throws std::invalid_argument with the text otherwise.
  static Rational parse(std::string_view text);

  int64_t numerator() const { return numerator_; }
  int64_t denominator() const { return denominator_; }
  bool is_zero() const { return numerator_ == 0; }
  bool is_integer() const { return denominator_ == 1; }
  std::string text() const;  // "3" or "-3/2"

  Rational operator-() const;
  friend Rational operator+(const Rational& a, const Rational& b);
  friend Rational operator-(const Rational& a, const Rational& b);
  friend Rational operator*(const Rational& a, const Rational& b);
  // Throws std::domain_error when b is zero.
  friend Rational operator/(const Rational& a, const Rational& b);
  friend bool operator==(const Rational& a, const Rational& b) = default;
  friend std::strong_ordering operator<=>(const Rational& a, const Rational& b);

 private:
  int64_t numerator_ = 0;
  int64_t denominator_ = 1;
};

}  // namespace giantrabbit::data
