// In: digits or words. Out: sums, products, words. Kept invariant: that of the header.
#include "data/digits.h"

#include <algorithm>

#include <fmt/format.h>

namespace giantrabbit::data {

Digits trimmed(Digits digits) {
  while (!digits.empty() && digits.back() == 0) digits.pop_back();
  return digits;
}

Digits sum(const Digits& a, const Digits& b) {
  Digits result;
  int carry = 0;
  for (size_t i = 0; i < std::max(a.size(), b.size()) || carry > 0; ++i) {
    const int total = (i < a.size() ? a[i] : 0) + (i < b.size() ? b[i] : 0) + carry;
    result.push_back(total % 10);
    carry = total / 10;
  }
  return trimmed(std::move(result));
}

Digits times_digit(const Digits& a, int digit, size_t places) {
  Digits result(places, 0);
  int carry = 0;
  for (size_t i = 0; i < a.size() || carry > 0; ++i) {
    const int total = (i < a.size() ? a[i] * digit : 0) + carry;
    result.push_back(total % 10);
    carry = total / 10;
  }
  return trimmed(std::move(result));
}

Digits product(const Digits& a, const Digits& b) {
  Digits result;
  for (size_t i = 0; i < b.size(); ++i) result = sum(result, times_digit(a, b[i], i));
  return result;
}

std::optional<Digits> read_digits(std::span<const std::string> words) {
  if (words.empty()) return std::nullopt;
  Digits digits;
  for (const std::string& word : words) {
    if (word.size() != 1 || word[0] < '0' || word[0] > '9') return std::nullopt;
    digits.push_back(word[0] - '0');
  }
  return digits;
}

void append_digits(Words& words, const Digits& digits, size_t width) {
  for (size_t i = 0; i < std::max(width, digits.size()); ++i) {
    words.push_back(std::to_string(i < digits.size() ? digits[i] : 0));
  }
}

Digits parse_decimal(std::string_view text, std::string_view what) {
  const bool decimal = !text.empty() && std::all_of(text.begin(), text.end(), [](char letter) {
    return letter >= '0' && letter <= '9';
  });
  if (!decimal) throw ProblemError(fmt::format("{}: expected decimal digits, got \"{}\"", what, text));
  Digits digits;
  std::transform(text.rbegin(), text.rend(), std::back_inserter(digits),
                 [](char letter) { return letter - '0'; });
  return digits;
}

}  // namespace giantrabbit::data
