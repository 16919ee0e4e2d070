// In: two rationals in lowest terms. Out: their exact sum, difference, product, quotient or order. Kept
// invariant: lowest terms with a positive denominator; a result that does not fit 64 bits throws, it never
// wraps.
#include "data/rational.h"

#include <charconv>
#include <limits>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>

namespace giantrabbit::data {
namespace {

// Products of two 64-bit numbers and sums of two such products fit.
__extension__ typedef __int128 Wide;

Wide wide_gcd(Wide a, Wide b) {
  while (b != 0) {
    const Wide rest = a % b;
    a = b;
    b = rest;
  }
  return a < 0 ? -a : a;
}

int64_t narrow(Wide value) {
  if (value > std::numeric_limits<int64_t>::max() || value < std::numeric_limits<int64_t>::min()) {
    throw std::overflow_error("rational: a result does not fit into 64 bits");
  }
  return static_cast<int64_t>(value);
}

// Only for denominator != 0.
Rational reduced(Wide numerator, Wide denominator) {
  const Wide divisor = wide_gcd(numerator, denominator);
  const Wide sign = denominator < 0 ? -1 : 1;
  return Rational(narrow(sign * numerator / divisor), narrow(sign * denominator / divisor));
}

int64_t parse_whole(std::string_view digits, std::string_view text) {
  int64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc() || stop != end) {
    throw std::invalid_argument(
        fmt::format("rational: expected \"3\", \"-3\" or \"-3/2\", got \"{}\"", text));
  }
  return value;
}

}  // namespace

Rational::Rational(int64_t numerator, int64_t denominator)
    : numerator_(numerator), denominator_(denominator) {
  if (denominator == 0) throw std::invalid_argument("rational: the denominator is zero");
  if (denominator == 1) return;
  const Wide divisor = wide_gcd(numerator, denominator);
  if (divisor != 1 || denominator < 0) {
    const Wide sign = denominator < 0 ? -1 : 1;
    numerator_ = narrow(sign * Wide{numerator} / divisor);
    denominator_ = narrow(sign * Wide{denominator} / divisor);
  }
}

Rational Rational::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const int64_t numerator = parse_whole(text.substr(0, slash), text);
  if (slash == std::string_view::npos) return Rational(numerator);
  const int64_t denominator = parse_whole(text.substr(slash + 1), text);
  if (denominator <= 0) {
    throw std::invalid_argument(fmt::format("rational: expected a positive denominator, got \"{}\"", text));
  }
  return Rational(numerator, denominator);
}

std::string Rational::text() const {
  return is_integer() ? std::to_string(numerator_) : fmt::format("{}/{}", numerator_, denominator_);
}

Rational Rational::operator-() const { return Rational(narrow(-Wide{numerator_}), denominator_); }

// Whole numbers are most of the traffic; they need no greatest common divisor.
Rational operator+(const Rational& a, const Rational& b) {
  if (a.denominator_ == 1 && b.denominator_ == 1) return Rational(narrow(Wide{a.numerator_} + b.numerator_));
  return reduced(Wide{a.numerator_} * b.denominator_ + Wide{b.numerator_} * a.denominator_,
                 Wide{a.denominator_} * b.denominator_);
}

Rational operator-(const Rational& a, const Rational& b) {
  if (a.denominator_ == 1 && b.denominator_ == 1) return Rational(narrow(Wide{a.numerator_} - b.numerator_));
  return reduced(Wide{a.numerator_} * b.denominator_ - Wide{b.numerator_} * a.denominator_,
                 Wide{a.denominator_} * b.denominator_);
}

Rational operator*(const Rational& a, const Rational& b) {
  if (a.denominator_ == 1 && b.denominator_ == 1) return Rational(narrow(Wide{a.numerator_} * b.numerator_));
  return reduced(Wide{a.numerator_} * b.numerator_, Wide{a.denominator_} * b.denominator_);
}

Rational operator/(const Rational& a, const Rational& b) {
  if (b.is_zero()) throw std::domain_error("rational: division by zero");
  return reduced(Wide{a.numerator_} * b.denominator_, Wide{a.denominator_} * b.numerator_);
}

std::strong_ordering operator<=>(const Rational& a, const Rational& b) {
  return Wide{a.numerator_} * b.denominator_ <=> Wide{b.numerator_} * a.denominator_;
}

}  // namespace giantrabbit::data
