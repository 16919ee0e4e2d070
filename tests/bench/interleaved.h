// Two ways to do the same work, timed alternately in one process, so that both see the same machine: the same
// caches, the same clock rate and the same neighbours. In, two functions; out, seconds per call and ratios by
// the wall clock and by the processor time of the calling thread, which other programs on the machine do not
// lengthen. The order changes with every round. Validate the results before timing them.
#pragma once

#include <functional>
#include <string>

namespace giantrabbit::bench {

struct Plan {
  int rounds = 30;              // turns of each side
  double turn_seconds = 0.002;  // a turn repeats its function until it lasts about this long; 0: one call
};

struct Statistics {
  double minimum;
  double median;
};

struct Range {
  double minimum = 0;
  double maximum = 0;
};

struct ClockResult {
  Statistics a;  // seconds per call
  Statistics b;
  // How many times faster than b a is: b.minimum / a.minimum, and the median over the rounds of b / a.
  Statistics ratio;
  Range ratio_range{};  // of b / a over the rounds
};

struct Comparison {
  ClockResult wall;
  ClockResult cpu;
};

Comparison compare(const std::function<void()>& a, const std::function<void()>& b, const Plan& plan = {});

// A table with one line per comparison: milliseconds of both sides, then the ratios. Whatever a program adds
// behind (`more`) it explains in `more_heading`.
void print_heading(const std::string& a, const std::string& b, const std::string& more_heading = "");
void print_comparison(const std::string& label, const Comparison& comparison, const std::string& more = "");

}  // namespace giantrabbit::bench
