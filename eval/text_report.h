// What giantrabbit-eval text found out about runs on one text, and its forms: tables, sentences, JSON. A
// difference is claimed only where its test over blocks of the text passed after Holm's correction.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "eval/resampling.h"
#include "eval/table.h"

namespace giantrabbit::eval {

// A model of the text: of its test part's first characters, the bits of each.
struct TextFigures {
  std::string name;
  std::vector<double> bits;
  // For runs.
  std::string attention;
  int64_t parameters = 0;
  int64_t window = 0;
  std::string sample;  // what it wrote; empty without --sample
};

struct TextReport {
  std::string text;       // a clause: the file and its parts
  int64_t block = 256;    // characters that are one item of intervals and tests
  int64_t test_size = 0;  // characters of the test part
  std::vector<TextFigures> runs;
  std::vector<TextFigures> ngrams;  // over the whole test part
};

// Bits per character; the interval is over blocks of the text.
Estimate bits_per_character(const std::vector<double>& bits, int64_t block);

// Second minus first in bits per character, on the characters that both were judged on.
struct TextComparison : PairedDifference {
  std::string first;
  std::string second;
};
// Every run against every n-gram model, then every other run against the first; corrected together.
std::vector<TextComparison> compare_texts(const TextReport& report);
std::string sentence(const TextComparison& comparison);

std::string text_report_text(const TextReport& report);
nlohmann::ordered_json text_report_json(const TextReport& report);

}  // namespace giantrabbit::eval
