// From a case to the growth of its costs, by running it under the emulator that counts.
#pragma once

#include <vector>

#include "tests/cuda_roofline/cases.h"
#include "tests/cuda_roofline/roofline.h"

namespace giantrabbit::roofline {

inline Costs count(const Case& operation, int64_t length) {
  const std::function<void()> launch = operation.prepare(length, operation.counted_units);
  cuda_emulator::reset_counters();
  launch();
  return costs_of(cuda_emulator::counters());
}

struct CountedCase {
  Growth growth;      // of all counted lengths but the last
  double difference;  // at the last, the worst of all devices
};

// Of the case's units: counted where the emulator is quick, else by the growth. Short lengths may have other
// kernels.
inline Costs costs_at(const Case& operation, const CountedCase& counted, int64_t length) {
  return length <= operation.counted.back() ? count(operation, length)
                                            : counted.growth.at(static_cast<double>(length));
}

inline CountedCase count_case(const Case& operation) {
  std::vector<double> lengths;
  std::vector<Costs> counted;
  for (const int64_t length : operation.counted) {
    lengths.push_back(static_cast<double>(length));
    counted.push_back(count(operation, length));
  }
  const size_t fitted = lengths.size() - 1;
  const Growth growth({lengths.data(), fitted}, {counted.data(), fitted}, operation.degree);
  double difference = 0;
  for (const Device& device : kDevices)
    difference = std::max(difference, worst_difference(device, growth.at(lengths.back()), counted.back()));
  return {growth, difference};
}

// The growth must meet what was not fitted within this. The candidates of some hundred random rows differ by
// 1.5 % from one length to the next; to continue a parabola through four lengths by one more makes 4 % of
// that.
constexpr double kAllowedDifference = 0.08;

}  // namespace giantrabbit::roofline
