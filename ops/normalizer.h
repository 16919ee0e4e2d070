// The functions that turn a row of scores into a row of weights, by name. Every place that lets a user choose
// one goes through parse_normalizer(), so the accepted names exist once.
#pragma once

#include <cstdint>
#include <string_view>

namespace giantrabbit::ops {

enum class Normalizer : int64_t { softmax = 0, sparsemax = 1, entmax15 = 2 };

Normalizer parse_normalizer(std::string_view text);  // throws c10::Error that lists the three
std::string_view normalizer_name(Normalizer normalizer);

}  // namespace giantrabbit::ops
