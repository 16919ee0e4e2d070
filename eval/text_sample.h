// Lets a model write text. In: a text run, the beginning, how much and how freely. Out: what it writes behind
// the beginning. The same seed writes the same text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "eval/run.h"

namespace giantrabbit::eval {

struct SampleOptions {
  std::string start;
  int64_t characters = 0;
  double temperature = 0.8;  // divides the logits; 0: the most likely character every time
  uint64_t seed = 1;
};
// The most characters, those of the beginning included, that the run has positions for.
int64_t longest_text(const Run& run);
std::string write_text(const Run& run, const SampleOptions& options);

// For a terminal: printable ASCII and line ends as they are, other bytes as "\xe4".
std::string visible(std::string_view text);

}  // namespace giantrabbit::eval
