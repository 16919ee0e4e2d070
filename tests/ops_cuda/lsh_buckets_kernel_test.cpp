// The CUDA kernel of lsh_buckets under the emulator: against the definition in double wherever the largest
// two numbers lie apart, and everywhere against the same chain of multiply-adds, which is the CPU's; the same
// bits under every schedule.
#include <iostream>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "ops/cuda/lsh_kernels.h"
#include "tests/cuda_emulator/launching.h"
#include "tests/ops_cuda/row_cases.h"

namespace giantrabbit::ops::cuda {
namespace {

using cuda_emulator::DeviceBuffer;
using cuda_emulator::under_every_schedule;

struct HashCase {
  const char* name;
  int64_t length;
  int64_t width;
  std::vector<int32_t> bucket_counts;
  int64_t rounds = 1;
  int64_t batch = 1;
  int64_t heads = 1;
  bool shared = false;
  bool padding = false;
  bool whole = false;  // small whole numbers: sums are exact, and there are ties
};

// Around 32 vectors a block, 64 columns a round, 32 columns of the rotations a step.
const std::vector<HashCase>& hash_cases() {
  static const std::vector<HashCase> cases{
      {.name = "one", .length = 1, .width = 1, .bucket_counts = {2}},
      {.name = "a block", .length = 32, .width = 64, .bucket_counts = {64}, .rounds = 2},
      {.name = "block and one", .length = 33, .width = 65, .bucket_counts = {66}, .whole = true},
      {.name = "factors", .length = 31, .width = 7, .bucket_counts = {6, 4, 2}, .rounds = 3, .whole = true},
      {.name = "ties", .length = 67, .width = 2, .bucket_counts = {10, 4}, .whole = true},
      {.name = "heads",
       .length = 5,
       .width = 6,
       .bucket_counts = {8},
       .rounds = 2,
       .batch = 2,
       .heads = 3,
       .padding = true},
      {.name = "shared",
       .length = 5,
       .width = 6,
       .bucket_counts = {8},
       .batch = 2,
       .heads = 2,
       .shared = true},
      {.name = "no width", .length = 3, .width = 0, .bucket_counts = {4, 2}, .whole = true},
  };
  return cases;
}

// Vectors [batch, length, heads, width], rotations [heads or 1, width, rounds, columns].
template <class Stored>
struct HashInputs {
  using M = std::conditional_t<std::is_same_v<Stored, double>, double, float>;
  const HashCase& sizes;
  int64_t columns = 0;
  std::vector<Stored> vectors;
  std::vector<M> rotations;
  std::vector<char> valid;

  HashInputs(const HashCase& of, std::mt19937_64& random) : sizes(of) {
    std::normal_distribution<double> normal;
    const auto number = [&] { return of.whole ? std::round(normal(random)) : normal(random); };
    for (const int32_t count : of.bucket_counts) columns += count / 2;
    for (int64_t i = 0; i < of.batch * of.length * of.heads * of.width; ++i)
      vectors.push_back(stored<Stored>(number()));
    for (int64_t i = 0; i < (of.shared ? 1 : of.heads) * of.width * of.rounds * columns; ++i)
      rotations.push_back(static_cast<M>(number()));
    for (int64_t i = 0; i < of.batch * of.length; ++i) valid.push_back(!of.padding || random() % 3 != 0);
  }

  LshHashingProblem problem(const bool* of_positions) const {
    LshHashingProblem result{
        sizes.batch,
        sizes.heads,
        sizes.length,
        sizes.width,
        {sizes.length * sizes.heads * sizes.width, sizes.width, sizes.heads * sizes.width},
        sizes.rounds,
        sizes.shared,
        static_cast<int>(sizes.bucket_counts.size()),
        {},
        sizes.padding ? of_positions : nullptr};
    std::copy(sizes.bucket_counts.begin(), sizes.bucket_counts.end(), result.bucket_counts);
    return result;
  }

  // One chain of fused multiply-adds in T.
  template <class T>
  double rotated(int64_t b, int64_t h, int64_t round, int64_t i, int64_t column) const {
    T sum{};
    for (int64_t c = 0; c < sizes.width; ++c) {
      const int64_t turn =
          (((sizes.shared ? 0 : h) * sizes.width + c) * sizes.rounds + round) * columns + column;
      const int64_t number = ((b * sizes.length + i) * sizes.heads + h) * sizes.width + c;
      sum = std::fma(static_cast<T>(read(vectors[static_cast<size_t>(number)])),
                     static_cast<T>(rotations[static_cast<size_t>(turn)]), sum);
    }
    return static_cast<double>(sum);
  }

  // The bucket, and how far the decision was from another one.
  template <class T>
  std::pair<int64_t, double> bucket(int64_t b, int64_t h, int64_t round, int64_t i) const {
    int64_t result = 0;
    int64_t before = 1;
    int64_t first = 0;
    double margin = std::numeric_limits<double>::infinity();
    for (const int64_t count : sizes.bucket_counts) {
      Row numbers;
      for (const double sign : {1.0, -1.0}) {
        for (int64_t j = 0; j < count / 2; ++j)
          numbers.push_back(sign * rotated<T>(b, h, round, i, first + j));
      }
      const auto best = std::max_element(numbers.begin(), numbers.end());  // the first of equal ones
      const double largest = *best;
      result += before * (best - numbers.begin());
      *best = -std::numeric_limits<double>::infinity();
      margin = std::min(margin, largest - *std::max_element(numbers.begin(), numbers.end()));
      before *= count;
      first += count / 2;
    }
    const bool padding = valid[static_cast<size_t>(b * sizes.length + i)] == 0;
    if (padding) return {round * (before + 1) + before, std::numeric_limits<double>::infinity()};
    return {round * (before + (sizes.padding ? 1 : 0)) + result, margin};
  }
};

template <class Stored>
class LshBucketsCudaTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (HasFailure()) std::cout << "seed of the random inputs: " << kRowSeed << '\n';
  }

  static std::vector<int64_t> hash(const HashInputs<Stored>& inputs) {
    const DeviceBuffer<Stored> vectors(inputs.vectors);
    const DeviceBuffer<typename HashInputs<Stored>::M> rotations(inputs.rotations);
    const DeviceBuffer<char> valid(inputs.valid);
    const HashCase& sizes = inputs.sizes;
    std::vector<int64_t> result;
    under_every_schedule([&] {
      const DeviceBuffer<int64_t> buckets(
          static_cast<size_t>(sizes.batch * sizes.heads * sizes.rounds * sizes.length));
      ASSERT_EQ(launch_lsh_buckets(kDtype<Stored>, inputs.problem(reinterpret_cast<const bool*>(valid.get())),
                                   vectors.get(), rotations.get(), buckets.get(), nullptr),
                cudaSuccess);
      if (result.empty()) result = buckets.values();
      EXPECT_EQ(result, buckets.values());
    });
    return result;
  }

  std::mt19937_64 random{kRowSeed};
};

TYPED_TEST_SUITE(LshBucketsCudaTest, StorageTypes);

TYPED_TEST(LshBucketsCudaTest, MatchesTheDefinition) {
  for (const HashCase& sizes : hash_cases()) {
    const HashInputs<TypeParam> inputs(sizes, this->random);
    const std::vector<int64_t> buckets = this->hash(inputs);
    // A rotated number of up to 65 products of size 10 in float is off by less than 1e-5 * 65.
    const double doubt = sizes.whole ? 0.0 : 1e-4;
    int64_t at = 0;
    int64_t judged = 0;
    for (int64_t b = 0; b < sizes.batch; ++b) {
      for (int64_t h = 0; h < sizes.heads; ++h) {
        for (int64_t round = 0; round < sizes.rounds; ++round) {
          for (int64_t i = 0; i < sizes.length; ++i, ++at) {
            const auto [bucket, margin] = inputs.template bucket<double>(b, h, round, i);
            const auto same_chain = inputs.template bucket<typename HashInputs<TypeParam>::M>(b, h, round, i);
            EXPECT_EQ(buckets[static_cast<size_t>(at)], same_chain.first) << sizes.name;
            if (margin < doubt) continue;
            ++judged;
            EXPECT_EQ(buckets[static_cast<size_t>(at)], bucket)
                << sizes.name << ", position " << i << ", round " << round << ", head " << h;
          }
        }
      }
    }
    EXPECT_GT(10 * judged, 9 * at) << sizes.name;
  }
}

// As on the CPU: a vector of NaN falls into bucket 0, and no other vector notices.
TYPED_TEST(LshBucketsCudaTest, VectorsThatAreNoNumbers) {
  const HashCase sizes{.name = "no numbers", .length = 34, .width = 3, .bucket_counts = {6}};
  HashInputs<TypeParam> inputs(sizes, this->random);
  const std::vector<int64_t> before = this->hash(inputs);
  inputs.vectors[3 * 5] = stored<TypeParam>(NAN);
  const std::vector<int64_t> after = this->hash(inputs);
  for (size_t i = 0; i < after.size(); ++i) EXPECT_EQ(after[i], i == 5 ? 0 : before[i]) << i;
}

TYPED_TEST(LshBucketsCudaTest, WrongProblems) {
  const HashCase sizes{.name = "wrong", .length = 4, .width = 2, .bucket_counts = {2}};
  const HashInputs<TypeParam> inputs(sizes, this->random);
  const auto result_of = [](const LshHashingProblem& problem) {
    return launch_lsh_buckets(kDtype<TypeParam>, problem, nullptr, nullptr, nullptr, nullptr);
  };
  LshHashingProblem problem = inputs.problem(nullptr);
  problem.bucket_counts[0] = 3;
  EXPECT_EQ(result_of(problem), cudaErrorInvalidValue);
  problem = inputs.problem(nullptr);
  problem.factors = 0;
  EXPECT_EQ(result_of(problem), cudaErrorInvalidValue);
  problem = inputs.problem(nullptr);
  problem.length = 0;
  EXPECT_EQ(result_of(problem), cudaSuccess);
}

}  // namespace
}  // namespace giantrabbit::ops::cuda
