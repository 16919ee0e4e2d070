// Predicts how long kernels take on a device that is not here. In: what the emulator counted at a few small
// lengths (tests/cuda_emulator/counters.h). Out: the same quantities at any length, by polynomials of the
// length, and the time by the device's ceilings: the quantity that needs longest decides. That is a bound
// from below, reached by kernels that keep the device busy; index arithmetic, comparisons, additions and
// waiting are not in it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/cuda_emulator/counters.h"

namespace giantrabbit::roofline {

enum Quantity : size_t {
  kDramBytes,
  kL2Bytes,
  kSharedPasses,
  kMultiplyAdds,
  kDoubleMultiplyAdds,
  kMatrixMultiplyAdds,
  kExponentials,
  kWarpOperations,
  kQuantities
};
constexpr std::array<const char*, kQuantities> kNames{
    "DRAM",         "L2",           "shared memory",  "multiply-adds", "double multiply-adds",
    "tensor cores", "exponentials", "warp operations"};

struct Costs {
  std::array<double, kQuantities> quantities{};
  double launches = 0;
};

Costs costs_of(const cuda_emulator::Counters& counters);
Costs scaled(const Costs& costs, double factor);  // as many times the work, in the same launches

struct Device {
  const char* name;
  std::array<double, kQuantities> per_second;
  double launch_seconds;
  double dense_flops;  // per second, of a FlashAttention-2-like kernel in bfloat16
};
extern const std::array<Device, 2> kDevices;  // H100 SXM and H200

struct Prediction {
  double seconds;
  Quantity bound;
};
Prediction predict(const Device& device, const Costs& costs);

// What grows with a length: every quantity by the polynomial of lowest degree, up to `degree`, that
// reproduces the counted lengths.
class Growth {
 public:
  Growth(std::span<const double> lengths, std::span<const Costs> counted, size_t degree);
  Costs at(double length) const;

 private:
  std::array<std::vector<double>, kQuantities> coefficients_;
  double launches_;
};

// Largest relative difference between quantities that matter to `device`: those that need at least a
// hundredth of the time.
double worst_difference(const Device& device, const Costs& predicted, const Costs& counted);

}  // namespace giantrabbit::roofline
