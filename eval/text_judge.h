// How well a model predicts a text. In: a model, a text and windows of it. Out: bits of every counted
// character, minus the binary logarithm of its probability behind the characters of its window before it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/giant_rabbit.h"

namespace giantrabbit::eval {

// The model sees characters begin .. begin + length, the last `counted` of them are judged.
struct TextWindow {
  int64_t begin = 0;
  int64_t length = 0;
  int64_t counted = 0;
};

// Windows of `length` at every half of it: each counts its second half, so that every character has half a
// window before it, the first one counts whole. Together they count the characters 0 .. n of the text, each
// once; n = size unless there are more than `most` windows.
std::vector<TextWindow> covering_windows(int64_t size, int64_t length, int64_t most = INT64_MAX);
// At most `count` of all covering windows, at even distances.
std::vector<TextWindow> spread_windows(int64_t size, int64_t length, int64_t count);

// In the order of the windows.
std::vector<double> character_bits(model::GiantRabbit& network, std::string_view text,
                                   std::span<const TextWindow> windows);

double mean(std::span<const double> values);  // 0 for none
inline constexpr double nats_per_bit = 0.6931471805599453;

}  // namespace giantrabbit::eval
