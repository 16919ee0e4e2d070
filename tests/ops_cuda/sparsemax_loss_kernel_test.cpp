// The CUDA kernels of the Fenchel-Young losses under the emulator: against the definition in double, the same
// bits under every schedule; ignored, invalid and unpermitted targets.
#include <cmath>
#include <numeric>
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

template <class M>
class SparsemaxLossCudaTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (HasFailure()) std::cout << "seed of the random inputs: " << kRowSeed << '\n';
  }

  std::vector<M> losses(Normalizer normalizer, const std::vector<M>& logits,
                        const std::vector<int64_t>& targets, int64_t n) const {
    const DeviceBuffer<M> in(logits);
    const DeviceBuffer<int64_t> classes(targets);
    std::vector<M> results;
    under_every_schedule([&] {
      const DeviceBuffer<M> out(targets.size());
      ASSERT_EQ(launch_row_losses(normalizer, kDtype<M>, {static_cast<int64_t>(targets.size()), n}, in.get(),
                                  classes.get(), out.get(), nullptr),
                cudaSuccess);
      if (results.empty()) results = out.values();
      EXPECT_TRUE(same_bits(results, out.values()));
    });
    return results;
  }

  std::vector<M> gradients(const std::vector<M>& grad, const std::vector<M>& weights,
                           const std::vector<int64_t>& targets, int64_t n) const {
    const DeviceBuffer<M> of_losses(grad);
    const DeviceBuffer<M> in(weights);
    const DeviceBuffer<int64_t> classes(targets);
    std::vector<M> results;
    under_every_schedule([&] {
      const DeviceBuffer<M> out(weights.size());
      ASSERT_EQ(launch_row_losses_backward(kDtype<M>, {static_cast<int64_t>(targets.size()), n},
                                           of_losses.get(), in.get(), classes.get(), out.get(), nullptr),
                cudaSuccess);
      if (results.empty()) results = out.values();
      EXPECT_TRUE(same_bits(results, out.values()));
    });
    return results;
  }

  std::mt19937_64 random{kRowSeed};
};

using LossTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(SparsemaxLossCudaTest, LossTypes);

TYPED_TEST(SparsemaxLossCudaTest, MatchesTheDefinition) {
  for (const int n : row_lengths<TypeParam>()) {
    const std::vector<NamedRow> named = hostile_rows(n, this->random);
    const std::vector<TypeParam> logits = stacked<TypeParam>(named);
    std::vector<int64_t> targets;
    for (size_t row = 0; row < named.size(); ++row)
      targets.push_back(static_cast<int64_t>(this->random() % static_cast<uint64_t>(n)));
    for (const Normalizer normalizer : kNormalizers) {
      const std::vector<TypeParam> actual = this->losses(normalizer, logits, targets, n);
      for (size_t row = 0; row < named.size(); ++row) {
        const double wanted = reference_loss(normalizer, row_of(logits, row, n), targets[row]);
        // Sums of n products in double, of numbers up to the range of the support; rounded once, to infinity
        // if too large.
        EXPECT_TRUE(close({read(actual[row])}, {read(static_cast<TypeParam>(wanted))}, 1e-11,
                          2 * kRounding<TypeParam> + 1e-13))
            << named[row].name << ", " << n << " classes, normalizer " << static_cast<int>(normalizer);
      }
    }
  }
}

TYPED_TEST(SparsemaxLossCudaTest, GradientIsWeightsMinusOneHot) {
  std::normal_distribution<double> normal;
  for (const int n : row_lengths<TypeParam>()) {
    const std::vector<NamedRow> named = hostile_rows(n, this->random);
    std::vector<TypeParam> weights;
    std::vector<TypeParam> grad;
    std::vector<int64_t> targets;
    for (const NamedRow& row : named) {
      const Row scores(row.scores.begin(), row.scores.end());
      for (const double weight : reference_weights(Normalizer::sparsemax, scores))
        weights.push_back(stored<TypeParam>(weight));
      grad.push_back(stored<TypeParam>(normal(this->random)));
      targets.push_back(static_cast<int64_t>(this->random() % static_cast<uint64_t>(n)));
    }
    targets[0] = -100;
    const std::vector<TypeParam> actual = this->gradients(grad, weights, targets, n);
    for (size_t row = 0; row < named.size(); ++row) {
      const Row row_weights = row_of(weights, row, n);
      const double total = std::accumulate(row_weights.begin(), row_weights.end(), 0.0);
      for (int64_t j = 0; j < n; ++j) {
        const bool counted = targets[row] != -100 && total != 0.0;
        const auto weight = weights[row * static_cast<size_t>(n) + static_cast<size_t>(j)];
        const auto wanted = counted ? (weight - TypeParam(j == targets[row])) * grad[row] : TypeParam(0);
        const TypeParam got = actual[row * static_cast<size_t>(n) + static_cast<size_t>(j)];
        EXPECT_TRUE(got == wanted || (std::isnan(got) && std::isnan(wanted)))
            << named[row].name << ", entry " << j << " of " << n << ": " << got << ", wanted " << wanted;
      }
    }
  }
}

TYPED_TEST(SparsemaxLossCudaTest, TargetsThatAreNoPermittedClass) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const int n : {3, 1030}) {
    const auto size = static_cast<size_t>(n);
    std::vector<TypeParam> logits(4 * size, TypeParam(0));
    logits[1] = static_cast<TypeParam>(-kInf);   // the target of the first row
    logits[size] = static_cast<TypeParam>(NAN);  // in a row that is ignored
    const std::vector<int64_t> targets{1, -100, n, -1};
    for (const Normalizer normalizer : kNormalizers) {
      const std::vector<TypeParam> losses = this->losses(normalizer, logits, targets, n);
      EXPECT_EQ(losses[0], static_cast<TypeParam>(kInf));
      EXPECT_EQ(losses[1], TypeParam(0));
      EXPECT_TRUE(std::isnan(losses[2]));
      EXPECT_TRUE(std::isnan(losses[3]));
    }
    const std::vector<TypeParam> grad(4, TypeParam(1));
    const std::vector<TypeParam> weights(4 * size, TypeParam(1) / static_cast<TypeParam>(n));
    const std::vector<TypeParam> actual = this->gradients(grad, weights, targets, n);
    EXPECT_EQ(actual[size], TypeParam(0));
    EXPECT_TRUE(std::isnan(actual[2 * size]));
    EXPECT_TRUE(std::isnan(actual[4 * size - 1]));
  }
}

TYPED_TEST(SparsemaxLossCudaTest, NoClasses) {
  const std::vector<TypeParam> losses = this->losses(Normalizer::sparsemax, {}, {-100, 0}, 0);
  EXPECT_EQ(losses[0], TypeParam(0));
  EXPECT_TRUE(std::isnan(losses[1]));
  EXPECT_TRUE(this->losses(Normalizer::entmax15, {}, {}, 7).empty());
}

}  // namespace
}  // namespace giantrabbit::ops::cuda
