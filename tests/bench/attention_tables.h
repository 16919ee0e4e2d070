// The tables of attention_bench, one per question. In, options; out, lines on standard output: the times of
// both sides interleaved, their ratios, and what the work was.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/attention_peaks.h"

namespace giantrabbit::bench {

struct Options {
  bool quick = false;  // no more than 4,096 keys, few rounds
  std::string run;     // a trained run for table h, or empty
  std::string only;    // lines whose label holds this
  int threads = 1;     // of both sides
};

struct Table {
  char letter;
  std::string title;
  void (*run)(const Options& options, const Peaks& peaks);
};

const std::vector<Table>& all_tables();

}  // namespace giantrabbit::bench
