// Rows for the kernels: lengths around every limit, and every kind of row that has broken such a kernel
// somewhere.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "ops/cuda/kernels.h"
#include "tests/cuda_emulator/device_buffer.h"
#include "tests/ops_cuda/row_reference.h"

namespace giantrabbit::ops::cuda {

constexpr uint64_t kRowSeed = 1806;

// Under sanitizers, one dtype of each size of the computing type and fewer lengths.
#if defined(GR_SHORT_TESTS)
using StorageTypes = ::testing::Types<double, __nv_bfloat16>;
constexpr bool kShortTests = true;
#else
using StorageTypes = ::testing::Types<float, double, __nv_bfloat16, __half>;
constexpr bool kShortTests = false;
#endif

// 1, a warp and one beside it, the limits of the register kernels, the limits between warp and block, a
// block's step of 1,024 and one beside it, primes, several steps. 16-bit types differ from float in loads and
// stores only.
template <class Stored>
std::vector<int> row_lengths() {
  if (kShortTests || sizeof(Stored) == 2) return {1, 33, 255, 257, 513, 1025, 2049};
  return {1,   2,   31,  32,   33,   63,   64,   65,   127,  255, 256,
          257, 512, 513, 1023, 1024, 1025, 2047, 2048, 2049, 5003};
}

struct NamedRow {
  std::string name;
  std::vector<float> scores;
};

inline std::vector<NamedRow> hostile_rows(int n, std::mt19937_64& random) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::normal_distribution<float> normal;
  const auto drawn = [&](float spread) {
    std::vector<float> row(static_cast<size_t>(n));
    for (float& z : row) z = normal(random) * spread;
    return row;
  };
  const auto changed = [&](auto change) {
    std::vector<float> row = drawn(1.0F);
    for (size_t j = 0; j < row.size(); ++j) row[j] = change(row[j], static_cast<int>(j));
    return row;
  };
  std::vector<NamedRow> rows;
  for (const float spread : {0.001F, 0.1F, 1.0F, 30.0F})
    rows.push_back({"spread " + std::to_string(spread), drawn(spread)});
  rows.push_back({"all equal", changed([](float, int) { return 0.3F; })});
  rows.push_back({"one hot", changed([&](float z, int j) { return j == n / 2 ? 50.0F : z; })});
  rows.push_back({"ties", changed([](float z, int j) { return j % 3 == 0 ? 1.5F : z - 1.0F; })});
  rows.push_back({"few values", changed([](float z, int) { return std::round(z * 2.0F) / 2.0F; })});
  rows.push_back({"masked", changed([&](float z, int) { return random() % 3 == 0 ? z : -kInf; })});
  rows.push_back({"one permitted", changed([&](float z, int j) { return j == n - 1 ? z : -kInf; })});
  rows.push_back({"nothing permitted", changed([&](float, int) { return -kInf; })});
  rows.push_back({"huge", changed([](float z, int) { return z * 1e30F; })});
  rows.push_back({"largest numbers", changed([](float, int j) {
                    return j % 2 == 0 ? std::numeric_limits<float>::max()
                                      : std::numeric_limits<float>::lowest();
                  })});
  rows.push_back({"huge and close", changed([](float z, int) { return 1e6F + std::round(z); })});
  rows.push_back({"denormal", changed([](float z, int) { return z * 1e-42F; })});
  rows.push_back({"rising", changed([&](float, int j) { return static_cast<float>(j) * 1.5F; })});
  rows.push_back({"rising slowly", changed([&](float, int j) { return static_cast<float>(j) * 0.01F; })});
  rows.push_back({"at the threshold", changed([](float, int j) {
                    return j == 0 ? 2.0F : j == 1 ? 1.0F : 0.0F;
                  })});
  rows.push_back({"not a number", changed([&](float z, int j) { return j == n - 1 ? NAN : z; })});
  rows.push_back({"not a number first", changed([](float z, int j) { return j == 0 ? NAN : z; })});
  rows.push_back({"infinite", changed([&](float z, int j) { return j == n / 3 ? kInf : z; })});
  return rows;
}

template <class Stored>
Stored stored(double value) {
  if constexpr (std::is_same_v<Stored, __nv_bfloat16>) return __float2bfloat16_rn(static_cast<float>(value));
  if constexpr (std::is_same_v<Stored, __half>) return __float2half_rn(static_cast<float>(value));
  if constexpr (std::is_floating_point_v<Stored>) return static_cast<Stored>(value);
}

inline double read(float value) { return value; }
inline double read(double value) { return value; }
inline double read(__nv_bfloat16 value) { return __bfloat162float(value); }
inline double read(__half value) { return __half2float(value); }

template <class Stored>
constexpr Dtype kDtype = Dtype::float32;
template <>
inline constexpr Dtype kDtype<double> = Dtype::float64;
template <>
inline constexpr Dtype kDtype<__nv_bfloat16> = Dtype::bfloat16;
template <>
inline constexpr Dtype kDtype<__half> = Dtype::float16;

// Half a step between neighbouring numbers of the dtype near 1.
template <class Stored>
constexpr double kRounding = 0x1p-24;
template <>
inline constexpr double kRounding<double> = 0x1p-53;
template <>
inline constexpr double kRounding<__nv_bfloat16> = 0x1p-8;
template <>
inline constexpr double kRounding<__half> = 0x1p-11;

// The rows below each other.
template <class Stored>
std::vector<Stored> stacked(const std::vector<NamedRow>& rows) {
  std::vector<Stored> all;
  for (const NamedRow& row : rows)
    for (const float z : row.scores) all.push_back(stored<Stored>(z));
  return all;
}

template <class Stored>
Row row_of(const std::vector<Stored>& all, size_t row, size_t n) {
  Row values;
  for (size_t j = 0; j < n; ++j) values.push_back(read(all[row * n + j]));
  return values;
}

// Equal bits, so that NaN equals NaN.
template <class Stored>
bool same_bits(const std::vector<Stored>& a, const std::vector<Stored>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(Stored)) == 0);
}

inline ::testing::AssertionResult close(const Row& actual, const Row& wanted, double absolute,
                                        double relative) {
  for (size_t j = 0; j < wanted.size(); ++j) {
    const bool equal = std::isnan(wanted[j]) ? std::isnan(actual[j])
                       : std::isinf(wanted[j])
                           ? actual[j] == wanted[j]
                           : std::abs(actual[j] - wanted[j]) <= absolute + relative * std::abs(wanted[j]);
    if (!equal) {
      return ::testing::AssertionFailure()
             << "entry " << j << " of " << wanted.size() << ": " << actual[j] << ", wanted " << wanted[j];
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace giantrabbit::ops::cuda
