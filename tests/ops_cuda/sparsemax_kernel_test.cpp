// The CUDA kernels of sparsemax and entmax-1.5 under the emulator: against the definition in double, the same
// bits under every schedule, and the row contract.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <random>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "ops/cuda/kernels.h"
#include "tests/cuda_emulator/launching.h"
#include "tests/ops_cuda/row_cases.h"

namespace giantrabbit::ops::cuda {
namespace {

using cuda_emulator::DeviceBuffer;
using cuda_emulator::under_every_schedule;

constexpr Normalizer kNormalizers[] = {Normalizer::sparsemax, Normalizer::entmax15};

template <class Stored>
class SparsemaxCudaTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (HasFailure()) std::cout << "seed of the random inputs: " << kRowSeed << '\n';
  }

  std::mt19937_64 random{kRowSeed};
};

TYPED_TEST_SUITE(SparsemaxCudaTest, StorageTypes);

// Results under the three schedules, which must be the same.
template <class Stored, class Launch>
std::vector<Stored> results_of(size_t count, const Launch& launch) {
  std::vector<Stored> results;
  under_every_schedule([&] {
    const DeviceBuffer<Stored> out(count);
    ASSERT_EQ(launch(out.get()), cudaSuccess);
    if (results.empty()) results = out.values();
    EXPECT_TRUE(same_bits(results, out.values()));
  });
  return results;
}

template <class Stored>
std::vector<Stored> normalized(Normalizer normalizer, const std::vector<Stored>& scores, const Rows& rows) {
  const DeviceBuffer<Stored> in(scores);
  return results_of<Stored>(scores.size(), [&](Stored* out) {
    return launch_normalize_rows(normalizer, kDtype<Stored>, rows, in.get(), out, nullptr);
  });
}

template <class Stored>
std::vector<Stored> backward(Normalizer normalizer, const std::vector<Stored>& grad,
                             const std::vector<Stored>& weights, const Rows& rows) {
  const DeviceBuffer<Stored> grad_in(grad);
  const DeviceBuffer<Stored> weights_in(weights);
  return results_of<Stored>(weights.size(), [&](Stored* out) {
    return launch_normalize_rows_backward(normalizer, kDtype<Stored>, rows, grad_in.get(), weights_in.get(),
                                          out, nullptr);
  });
}

// No entry with a weight is lost, tau is found in double from exact differences of scores, and the result is
// rounded once. What is left: sums of n numbers up to 1 in double, in two orders, divided by at least 1; and
// the 16-bit numbers below 2^-14, whose steps are 2^-24.
template <class Stored>
constexpr double kWeightError = std::is_same_v<Stored, __half> ? 0x1p-25 : 1e-12;

TYPED_TEST(SparsemaxCudaTest, MatchesTheDefinition) {
  for (const int n : row_lengths<TypeParam>()) {
    const std::vector<NamedRow> named = hostile_rows(n, this->random);
    const Rows rows{static_cast<int64_t>(named.size()), n};
    const std::vector<TypeParam> scores = stacked<TypeParam>(named);
    for (const Normalizer normalizer : kNormalizers) {
      const std::vector<TypeParam> weights = normalized(normalizer, scores, rows);
      for (size_t row = 0; row < named.size(); ++row) {
        const Row wanted = reference_weights(normalizer, row_of(scores, row, n));
        EXPECT_TRUE(close(row_of(weights, row, n), wanted, kWeightError<TypeParam>, kRounding<TypeParam>))
            << named[row].name << ", " << n << " entries, normalizer " << static_cast<int>(normalizer);
      }
    }
  }
}

TYPED_TEST(SparsemaxCudaTest, GradientMatchesTheDefinition) {
  std::normal_distribution<double> normal;
  for (const int n : row_lengths<TypeParam>()) {
    const std::vector<NamedRow> named = hostile_rows(n, this->random);
    const Rows rows{static_cast<int64_t>(named.size()), n};
    const std::vector<TypeParam> scores = stacked<TypeParam>(named);
    for (const Normalizer normalizer : kNormalizers) {
      std::vector<TypeParam> weights;
      std::vector<TypeParam> grad;
      for (size_t row = 0; row < named.size(); ++row) {
        for (const double weight : reference_weights(normalizer, row_of(scores, row, n))) {
          weights.push_back(stored<TypeParam>(weight));
          // What comes in beside the support does not count, whatever it is.
          grad.push_back(
              stored<TypeParam>(weight == 0.0 && normal(this->random) > 0.0 ? NAN : normal(this->random)));
        }
      }
      const std::vector<TypeParam> result = backward(normalizer, grad, weights, rows);
      for (size_t row = 0; row < named.size(); ++row) {
        const Row wanted = reference_gradient(normalizer, row_of(weights, row, n), row_of(grad, row, n));
        // Sums in double. The root of a weight is rounded to the computing type, 2^-24 of it, and meets
        // differences of normal numbers, less than 12; so does its sum.
        constexpr double kMath = std::is_same_v<TypeParam, double> ? 1e-13 : 12 * 2 * 0x1p-24;
        EXPECT_TRUE(close(row_of(result, row, n), wanted, kMath, 2 * kRounding<TypeParam>))
            << named[row].name << ", " << n << " entries, normalizer " << static_cast<int>(normalizer);
      }
    }
  }
}

TYPED_TEST(SparsemaxCudaTest, NothingToDo) {
  for (const Normalizer normalizer : kNormalizers) {
    for (const Rows& rows : {Rows{0, 5}, Rows{3, 0}, Rows{0, 2000}}) {
      EXPECT_EQ(launch_normalize_rows(normalizer, kDtype<TypeParam>, rows, nullptr, nullptr, nullptr),
                cudaSuccess);
      EXPECT_EQ(launch_normalize_rows_backward(normalizer, kDtype<TypeParam>, rows, nullptr, nullptr, nullptr,
                                               nullptr),
                cudaSuccess);
    }
  }
  EXPECT_EQ(launch_normalize_rows(Normalizer::sparsemax, kDtype<TypeParam>, {1, int64_t{1} << 31}, nullptr,
                                  nullptr, nullptr),
            cudaErrorInvalidValue);
  EXPECT_EQ(launch_normalize_rows(Normalizer::softmax, kDtype<TypeParam>, {1, 1}, nullptr, nullptr, nullptr),
            cudaErrorInvalidValue);
}

// Equal scores have equal weights, also where they meet in different lanes, warps and lists.
TYPED_TEST(SparsemaxCudaTest, TiesAreEqual) {
  for (const int n : {33, 700, 3000}) {
    std::vector<TypeParam> scores;
    for (int j = 0; j < n; ++j) scores.push_back(stored<TypeParam>(j % 37 == 5 ? 1.75 : -0.25));
    for (const Normalizer normalizer : kNormalizers) {
      const std::vector<TypeParam> weights = normalized(normalizer, scores, {1, n});
      for (int j = 0; j < n; ++j)
        EXPECT_EQ(read(weights[j]), read(weights[j % 37 == 5 ? 5 : 0])) << "entry " << j << " of " << n;
    }
  }
}

// A row changes nothing in its neighbours, and a key that is moved keeps its weight.
TYPED_TEST(SparsemaxCudaTest, RowsAreIndependentAndOrderDoesNotMatter) {
  for (const int n : {45, 1500}) {
    std::normal_distribution<double> normal;
    std::vector<TypeParam> scores;
    for (int i = 0; i < 6 * n; ++i) scores.push_back(stored<TypeParam>(normal(this->random)));
    std::vector<TypeParam> turned = scores;
    std::reverse(turned.begin(), turned.end());
    for (const Normalizer normalizer : kNormalizers) {
      const std::vector<TypeParam> weights = normalized(normalizer, scores, {6, n});
      std::vector<TypeParam> of_turned = normalized(normalizer, turned, {6, n});
      std::reverse(of_turned.begin(), of_turned.end());
      for (size_t row = 0; row < 6; ++row) {
        // Sums in another order: the last bits of a double, at most a rounding of the result.
        EXPECT_TRUE(close(row_of(of_turned, row, n), row_of(weights, row, n), kWeightError<TypeParam>,
                          2 * kRounding<TypeParam>));
        const std::vector<TypeParam> alone(scores.begin() + static_cast<int>(row) * n,
                                           scores.begin() + static_cast<int>(row + 1) * n);
        const std::vector<TypeParam> together(weights.begin() + static_cast<int>(row) * n,
                                              weights.begin() + static_cast<int>(row + 1) * n);
        EXPECT_TRUE(same_bits(normalized(normalizer, alone, {1, n}), together));
      }
    }
  }
}

}  // namespace
}  // namespace giantrabbit::ops::cuda
