// Two runs judged on the same items: what the figures allow to conclude, in numbers and in plain sentences.
#pragma once

#include <string>
#include <vector>

#include "eval/metrics.h"

namespace giantrabbit::eval {

// `second` against `first`; differences are second - first.
struct Comparison {
  std::string first;
  std::string second;
  PairedCounts pairs;     // right answers
  double difference = 0;  // of exact match
  Interval interval;      // 95%, Tango's score interval
  double mcnemar = 1;     // two-sided p-value of equal accuracy
  NonInferiority keeps;   // second within the margin of first
  Lengths first_lengths;  // on items both solved
  Lengths second_lengths;
  PairedDifference words;  // chain words on items both solved
};

// Throws std::invalid_argument when the items differ.
Comparison compare_runs(const std::string& first_name, const Evaluation& first,
                        const std::string& second_name, const Evaluation& second);

// What may be concluded, one sentence each: equality of accuracy, "keeps accuracy", chain length.
std::vector<std::string> conclusions(const Comparison& comparison);

}  // namespace giantrabbit::eval
