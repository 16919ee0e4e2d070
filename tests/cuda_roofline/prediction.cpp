// Prints what the kernels would take at best on an H100 and an H200: predicted, not measured. In: a text, for
// cases that have it in their names, or nothing; the emulator runs every case at a few small lengths and
// counts. Out: a table per operator, exit code 1 where a fit does not meet the length that checks it.
#include <cstdio>

#include <fmt/format.h>

#include "tests/cuda_roofline/counting.h"

namespace giantrabbit::roofline {
namespace {

// What the time stands against: a read and a write of the same numbers, dense attention in bfloat16, of which
// a causal mask leaves half, its gradient with five products for two, or reading all keys and values once.
double baseline_seconds(const Case& operation, const Device& device, double length, double units) {
  constexpr auto kWidth = static_cast<double>(kHeadWidth);
  const double dense = units * 4 * length * length * kWidth / 2 / device.dense_flops;
  switch (operation.kind) {
    case Kind::rows:
      return 2 * length * units * operation.entry_bytes / device.per_second[kDramBytes];
    case Kind::attention:
      return dense;
    case Kind::attention_gradient:
      return 2.5 * dense;
    case Kind::decoding:
      return 2 * length * units * kWidth * operation.entry_bytes / device.per_second[kDramBytes];
  }
  return 0;
}

const char* baseline_name(Kind kind) {
  return kind == Kind::rows ? "copy" : kind == Kind::decoding ? "read" : "dense bf16";
}

bool print_case(const Case& operation) {
  const CountedCase counted = count_case(operation);
  fmt::print("\n{} (fit {:.1f} % off at length {})\n", operation.name, 100 * counted.difference,
             operation.counted.back());
  fmt::print("{:>7} {:>7}", "length", operation.kind == Kind::rows ? "rows" : "heads");
  for (const Device& device : kDevices) {
    fmt::print(" | {:>8} {:<15} {:>10} {:>6}", device.name, "bound by", baseline_name(operation.kind),
               "times");
  }
  fmt::print("\n");
  for (const int64_t length : kReportedLengths) {
    const int64_t units = operation.reported_units(length);
    const double factor = static_cast<double>(units) / static_cast<double>(operation.counted_units);
    const Costs costs = scaled(costs_at(operation, counted, length), factor);
    fmt::print("{:>7} {:>7}", length, units);
    for (const Device& device : kDevices) {
      const Prediction prediction = predict(device, costs);
      const double baseline =
          baseline_seconds(operation, device, static_cast<double>(length), static_cast<double>(units));
      fmt::print(" | {:>8.3f} {:<15} {:>10.3f} {:>6.2f}", prediction.seconds * 1e3, kNames[prediction.bound],
                 baseline * 1e3, prediction.seconds / baseline);
    }
    fmt::print("\n");
  }
  return counted.difference <= kAllowedDifference;
}

}  // namespace
}  // namespace giantrabbit::roofline

int main(int count, char** arguments) {
  using namespace giantrabbit::roofline;
  fmt::print(
      "Predicted, not measured: milliseconds at best, from traffic and arithmetic that the emulator counted "
      "and the\n"
      "ceilings of the devices (tests/cuda_roofline/roofline.cpp). `times`: predicted time over that of a "
      "copy of the\n"
      "same numbers, of a read of all keys and values, or of a FlashAttention-2-like dense attention in "
      "bfloat16\n"
      "at 35 % of the H100's peak.\n");
  bool fine = true;
  for (const Case& operation : all_cases()) {
    if (count > 1 && operation.name.find(arguments[1]) == std::string::npos) continue;
    fine &= print_case(operation);
    std::fflush(stdout);
  }
  return fine ? 0 : 1;
}
