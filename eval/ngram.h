// Character n-gram models, what every model of a text has to beat: interpolated Kneser-Ney smoothing (Kneser
// and Ney 1995; Chen and Goodman 1999, one discount per order). Order n predicts a byte from the n - 1 before
// it.
//   P_k(c | h) = (max(count(hc) - D_k, 0) + D_k * followers(h) * P_(k-1)(c | h')) / count(h)
// h' is h without its first byte; below the highest order the count of a string is the number of different
// bytes in front of it; P_0 is uniform. Kept invariant: the 256 probabilities behind any context sum to 1.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace giantrabbit::eval {

class NgramModel {
 public:
  static constexpr int64_t most_order = 8;  // strings of one order are 64-bit keys
  // Counts `text`. Throws std::invalid_argument unless 1 <= order <= most_order.
  NgramModel(std::string_view text, int64_t order);
  // Of `next` behind `context`, whose last order - 1 bytes count; near the beginning of a text it is shorter.
  double probability(std::string_view context, char next) const;
  // Minus the binary logarithm of the probability of every character behind those before it.
  std::vector<double> bits(std::string_view text) const;

 private:
  // Strings of one length, ascending: as numbers, the first byte highest.
  struct Level {
    std::vector<uint64_t> strings;
    std::vector<int64_t> counts;
    double discount = 0;
  };
  static Level counted(std::vector<uint64_t> strings);
  std::vector<Level> levels_;  // [k]: strings of k + 1 bytes
};

}  // namespace giantrabbit::eval
