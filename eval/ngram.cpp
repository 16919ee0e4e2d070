// Counts by sorting; see ngram.h. The strings that follow one context are neighbours in the sorted list, so a
// context needs no entry of its own.
#include "eval/ngram.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <fmt/format.h>

namespace giantrabbit::eval {
namespace {

uint64_t low_bytes(uint64_t value, int64_t count) {
  return count == 8 ? value : value & ((uint64_t{1} << (8 * count)) - 1);
}

// The discount that leaves the most likelihood to strings held out once (Ney, Essen and Kneser 1994).
double discount_of(const std::vector<int64_t>& counts) {
  const auto once = static_cast<double>(std::ranges::count(counts, 1));
  const auto twice = static_cast<double>(std::ranges::count(counts, 2));
  return once + twice == 0 ? 0.5 : once / (once + 2 * twice);
}

}  // namespace

NgramModel::Level NgramModel::counted(std::vector<uint64_t> strings) {
  std::ranges::sort(strings);
  Level level;
  for (const uint64_t string : strings) {
    if (level.strings.empty() || level.strings.back() != string) {
      level.strings.push_back(string);
      level.counts.push_back(0);
    }
    ++level.counts.back();
  }
  level.discount = discount_of(level.counts);
  return level;
}

NgramModel::NgramModel(std::string_view text, int64_t order) {
  if (order < 1 || order > most_order) {
    throw std::invalid_argument(fmt::format("n-gram: the order must be 1 to {}, got {}", most_order, order));
  }
  levels_.resize(static_cast<size_t>(order));
  std::vector<uint64_t> strings;
  uint64_t string = 0;
  for (size_t end = 0; end < text.size(); ++end) {
    string = low_bytes(string << 8 | static_cast<unsigned char>(text[end]), order);
    if (static_cast<int64_t>(end) + 1 >= order) strings.push_back(string);
  }
  levels_.back() = counted(std::move(strings));
  for (int64_t length = order - 1; length > 0; --length) {
    // Each different string of length + 1 bytes stands for one byte in front of its last `length` ones.
    strings = levels_[static_cast<size_t>(length)].strings;
    for (uint64_t& longer : strings) longer = low_bytes(longer, length);
    levels_[static_cast<size_t>(length) - 1] = counted(std::move(strings));
  }
}

double NgramModel::probability(std::string_view context, char next) const {
  double result = 1.0 / 256;
  uint64_t string = static_cast<unsigned char>(next);
  for (size_t before = 0; before < levels_.size() && before <= context.size(); ++before) {
    if (before > 0) {
      const auto byte = static_cast<unsigned char>(context[context.size() - before]);
      string |= static_cast<uint64_t>(byte) << (8 * before);
    }
    const Level& level = levels_[before];
    const auto first = std::ranges::lower_bound(level.strings, string & ~uint64_t{0xff});
    int64_t total = 0, followers = 0, count = 0;
    for (auto at = first; at != level.strings.end() && (*at | 0xff) == (string | 0xff); ++at, ++followers) {
      const int64_t times = level.counts[static_cast<size_t>(at - level.strings.begin())];
      total += times;
      if (*at == string) count = times;
    }
    if (total == 0) break;  // nor do longer contexts occur
    const double kept = std::max(static_cast<double>(count) - level.discount, 0.0);
    result = (kept + level.discount * static_cast<double>(followers) * result) / static_cast<double>(total);
  }
  return result;
}

std::vector<double> NgramModel::bits(std::string_view text) const {
  std::vector<double> bits(text.size());
  for (size_t at = 0; at < text.size(); ++at)
    bits[at] = -std::log2(probability(text.substr(0, at), text[at]));
  return bits;
}

}  // namespace giantrabbit::eval
