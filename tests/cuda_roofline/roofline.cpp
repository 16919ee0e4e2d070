// Ceilings, fits and bounds; see roofline.h.
#include "tests/cuda_roofline/roofline.h"

#include <algorithm>
#include <cmath>

namespace giantrabbit::roofline {
namespace {

// Of the H100 SXM: 132 multiprocessors at 1.98 GHz are the data sheet's 67 TFLOP/s of fp32. Per
// multiprocessor and cycle: 128 multiply-adds, 64 in double, 16 exponentials (NVIDIA's programming guide),
// 128 bytes of shared memory in one pass, 32 lanes of a shuffle. DRAM: 3.0 TB/s of a copy as measured by
// others, 3.35 by the data sheet; H200 the same share of its 4.8. L2: 5.5 TB/s, as measured by others on the
// H100 PCIe, taken for all. Tensor cores: 62 % of the data sheet's 989 TFLOP/s, what is known of mma on them.
constexpr double kCycles = 132 * 1.98e9;
constexpr double kDramShare = 3.0 / 3.35;
constexpr double kMatrixMultiplyAddsPerSecond = 0.62 * 989e12 / 2;
constexpr double kLaunchSeconds = 3e-6;
// 35 % of 989 TFLOP/s: what the literature says of FlashAttention-2 on an H100.
constexpr double kDenseFlops = 0.35 * 989e12;

constexpr Device device(const char* name, double dram_bytes) {
  return {name,
          {dram_bytes, 5.5e12, kCycles, 128 * kCycles, 64 * kCycles, kMatrixMultiplyAddsPerSecond,
           16 * kCycles, kCycles},
          kLaunchSeconds,
          kDenseFlops};
}

double value_at(const std::vector<double>& coefficients, double x) {
  double value = 0;
  for (size_t i = coefficients.size(); i-- > 0;) value = value * x + coefficients[i];
  return value;
}

// Least squares by the normal equations, with x in units of the largest: a few points, degree two at most.
std::vector<double> fitted(std::span<const double> x, std::span<const double> y, size_t degree) {
  const double unit = *std::max_element(x.begin(), x.end());
  const size_t n = degree + 1;
  std::vector<std::vector<double>> rows(n, std::vector<double>(n + 1, 0.0));
  for (size_t p = 0; p < x.size(); ++p) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) rows[i][j] += std::pow(x[p] / unit, static_cast<double>(i + j));
      rows[i][n] += y[p] * std::pow(x[p] / unit, static_cast<double>(i));
    }
  }
  for (size_t i = 0; i < n; ++i) {  // the matrix is positive definite: no pivots
    for (size_t other = 0; other < n; ++other) {
      if (other == i) continue;
      const double factor = rows[other][i] / rows[i][i];
      for (size_t j = i; j <= n; ++j) rows[other][j] -= factor * rows[i][j];
    }
  }
  std::vector<double> coefficients(n);
  for (size_t i = 0; i < n; ++i)
    coefficients[i] = rows[i][n] / rows[i][i] / std::pow(unit, static_cast<double>(i));
  return coefficients;
}

bool reproduces(const std::vector<double>& coefficients, std::span<const double> x,
                std::span<const double> y) {
  constexpr double kClose = 0.01;
  for (size_t p = 0; p < x.size(); ++p) {
    if (std::abs(value_at(coefficients, x[p]) - y[p]) > kClose * std::abs(y[p])) return false;
  }
  return true;
}

}  // namespace

const std::array<Device, 2> kDevices{device("H100", 3.35e12 * kDramShare),
                                     device("H200", 4.8e12 * kDramShare)};

Costs costs_of(const cuda_emulator::Counters& counters) {
  const auto bytes = [](uint64_t sectors) {
    return static_cast<double>(sectors * cuda_emulator::kSectorBytes);
  };
  Costs costs;
  costs.quantities = {bytes(counters.read.distinct_sectors + counters.written.distinct_sectors),
                      bytes(counters.read.sectors + counters.written.sectors),
                      static_cast<double>(counters.shared_wavefronts),
                      static_cast<double>(counters.multiply_adds),
                      static_cast<double>(counters.double_multiply_adds),
                      static_cast<double>(counters.matrix_multiply_adds),
                      static_cast<double>(counters.exponentials),
                      static_cast<double>(counters.warp_operations)};
  costs.launches = static_cast<double>(counters.launches);
  return costs;
}

Costs scaled(const Costs& costs, double factor) {
  Costs result = costs;
  for (double& quantity : result.quantities) quantity *= factor;
  return result;
}

Prediction predict(const Device& device, const Costs& costs) {
  Prediction prediction{0, kDramBytes};
  for (size_t q = 0; q < kQuantities; ++q) {
    const double seconds = costs.quantities[q] / device.per_second[q];
    if (seconds > prediction.seconds) prediction = {seconds, static_cast<Quantity>(q)};
  }
  prediction.seconds += costs.launches * device.launch_seconds;
  return prediction;
}

Growth::Growth(std::span<const double> lengths, std::span<const Costs> counted, size_t degree)
    : launches_(counted.back().launches) {
  for (size_t q = 0; q < kQuantities; ++q) {
    std::vector<double> y;
    for (const Costs& costs : counted) y.push_back(costs.quantities[q]);
    for (size_t d = 0; d <= degree; ++d) {
      coefficients_[q] = fitted(lengths, y, d);
      if (reproduces(coefficients_[q], lengths, y)) break;
    }
  }
}

Costs Growth::at(double length) const {
  Costs costs;
  for (size_t q = 0; q < kQuantities; ++q)
    costs.quantities[q] = std::max(value_at(coefficients_[q], length), 0.0);
  costs.launches = launches_;
  return costs;
}

double worst_difference(const Device& device, const Costs& predicted, const Costs& counted) {
  double longest = 0;
  for (size_t q = 0; q < kQuantities; ++q)
    longest = std::max(longest, counted.quantities[q] / device.per_second[q]);
  double worst = 0;
  for (size_t q = 0; q < kQuantities; ++q) {
    const double wanted = counted.quantities[q];
    if (wanted / device.per_second[q] < 0.5 * longest) continue;
    worst = std::max(worst, std::abs(predicted.quantities[q] - wanted) / wanted);
  }
  return worst;
}

}  // namespace giantrabbit::roofline
