// One line of a table: a problem validated and counted once, then timed forward and forward + backward.
#pragma once

#include "tests/bench/attention_facts.h"
#include "tests/bench/attention_peaks.h"
#include "tests/bench/interleaved.h"

namespace giantrabbit::bench {

class LinePrinter {
 public:
  // Rounds follow from how long the slower side takes: about `seconds` per line, 3 rounds at least.
  // Lines whose label does not hold `only` are left out. Both sides run on `threads` threads.
  LinePrinter(const Peaks& peaks, double seconds, std::string only, int threads)
      : peaks_(peaks), seconds_(seconds), only_(std::move(only)), threads_(threads) {}

  void heading() const;
  // `theirs` is what LibTorch runs on, the problem itself or a copy in another dtype.
  void forward_and_training(const std::string& label, const Problem& problem) const;
  void against(const std::string& label, const Problem& problem, const Problem& theirs) const;
  // Our forward three times, LibTorch's once: for problems where that takes minutes.
  void forward_once(const std::string& label, const Problem& problem) const;

 private:
  bool left_out(const std::string& label) const { return label.find(only_) == std::string::npos; }
  Plan plan(const Problem& problem, double passes) const;
  void print(const std::string& label, const Comparison& comparison, const Problem& problem,
             const Facts& facts, bool forward) const;
  std::string share_of_peak(const Problem& problem, const Facts& facts, double seconds) const;

  Peaks peaks_;
  double seconds_;
  std::string only_;
  int threads_;
};

}  // namespace giantrabbit::bench
