// The operators that are predicted and, on a device, timed: one table for both. A new kernel is one more
// entry of all_cases(). Scores are random with standard deviation 2, causal attention has width 64.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace giantrabbit::roofline {

// What the time is held against: a copy, dense attention, its gradient, or reading all keys and values.
enum class Kind { rows, attention, attention_gradient, decoding };

struct Case {
  std::string name;
  Kind kind;
  double entry_bytes;                  // of the dtype
  size_t degree;                       // of the work as a polynomial of the length
  std::vector<int64_t> counted;        // lengths that the emulator runs, the last to check the others' fit
  int64_t counted_units;               // rows or heads that it runs
  int64_t (*reported_units)(int64_t);  // rows or heads that figures are about, by the length
  // Makes inputs on the device for a length and a number of units; what it returns launches the operator on
  // them.
  std::function<std::function<void()>(int64_t length, int64_t units)> prepare;
};

std::vector<Case> all_cases();

// Its parts, one source each.
void add_row_cases(std::vector<Case>& cases);
void add_attention_cases(std::vector<Case>& cases);
void add_lsh_cases(std::vector<Case>& cases);
void add_cache_cases(std::vector<Case>& cases);

constexpr int64_t kReportedLengths[] = {1024, 2048, 4096, 8192, 16384, 32768, 65536};
constexpr int64_t kHeadWidth = 64;

}  // namespace giantrabbit::roofline
