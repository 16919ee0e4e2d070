// Whole numbers of any length as decimal digits, least significant first: the order in which carries move.
// Kept invariant: a result has no leading zeros (the vector is empty for 0), so equal numbers are equal
// vectors.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/problem.h"

namespace giantrabbit::data {

using Digits = std::vector<int>;

Digits trimmed(Digits digits);  // without leading zeros
Digits sum(const Digits& a, const Digits& b);
Digits times_digit(const Digits& a, int digit, size_t places);  // a * digit * 10^places
Digits product(const Digits& a, const Digits& b);

// At least one word, every one "0" .. "9"; leading zeros are kept.
std::optional<Digits> read_digits(std::span<const std::string> words);
// Filled up with zeros to `width` digits; longer numbers are written in full.
void append_digits(Words& words, const Digits& digits, size_t width);
// "1203" as people write it; throws ProblemError naming `what` otherwise.
Digits parse_decimal(std::string_view text, std::string_view what);

}  // namespace giantrabbit::data
