// The CUDA kernel of attention forward under the emulator: against the definition in double for every
// normalizer and mask, the same bits under every schedule, and the row contract.
#include <iostream>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "ops/cuda/kernels.h"
#include "tests/cuda_emulator/launching.h"
#include "tests/ops_cuda/attention_pipeline.h"

namespace giantrabbit::ops::cuda {
namespace {

using cuda_emulator::under_every_schedule;

constexpr Normalizer kNormalizers[] = {Normalizer::softmax, Normalizer::sparsemax, Normalizer::entmax15};

// Lengths around 8 queries a block, 32 keys a tile and 128 candidates a list; widths around 64 columns a
// round and 128 a pass.
constexpr AttentionCase kCases[] = {
    {.name = "one", .queries = 1, .keys = 1, .width = 1, .value_width = 1},
    {.name = "a tile", .queries = 8, .keys = 32},
    {.name = "tile and one", .queries = 9, .keys = 33, .width = 17, .value_width = 5},
    {.name = "wide heads", .queries = 3, .keys = 31, .width = 65, .value_width = 129},
    {.name = "two rounds", .queries = 2, .keys = 40, .width = 128, .value_width = 128},
    {.name = "no keys", .queries = 2, .keys = 0},
    {.name = "no width", .queries = 2, .keys = 5, .width = 0},
    {.name = "heads", .queries = 5, .keys = 37, .batch = 2, .heads = 4, .key_heads = 2},
    {.name = "sharp", .queries = 11, .keys = 97, .spread = 8.0},
    {.name = "flat and wide", .queries = 3, .keys = 300, .width = 8, .spread = 0.01},
    {.name = "overflowing lists", .queries = 4, .keys = 700, .width = 4, .value_width = 3, .spread = 0.3},
    {.name = "causal", .queries = 41, .keys = 41, .causal = true},
    {.name = "causal at the end", .queries = 7, .keys = 70, .causal = true},
    {.name = "more queries than keys", .queries = 20, .keys = 6, .causal = true},
    {.name = "window", .queries = 50, .keys = 50, .window = 5},
    {.name = "causal window", .queries = 30, .keys = 75, .causal = true, .window = 33},
    {.name = "lengths", .queries = 9, .keys = 45, .with_lengths = true, .batch = 3, .heads = 2},
    {.name = "lists", .queries = 19, .keys = 71, .block_rows = 1},
    {.name = "lists of all keys", .queries = 5, .keys = 97, .block_rows = 1, .listed_of_five = 5},
    {.name = "lists of blocks", .queries = 17, .keys = 130, .block_rows = 3, .block_columns = 4},
    {.name = "lists of wide blocks", .queries = 9, .keys = 200, .block_rows = 5, .block_columns = 67},
    {.name = "lists with many keys", .queries = 3, .keys = 700, .width = 3, .spread = 0.01, .block_rows = 1},
    {.name = "bias", .queries = 9, .keys = 45, .batch = 2, .heads = 2, .with_bias = true},
    kEveryOption,
};

template <class Stored>
class AttentionCudaTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (HasFailure()) std::cout << "seed of the random inputs: " << kRowSeed << '\n';
  }

  static std::vector<Stored> attend(Normalizer normalizer, const AttentionInputs<Stored>& inputs) {
    AttentionPipeline<Stored> pipeline(inputs);
    std::vector<Stored> results;
    under_every_schedule([&] {
      pipeline.attend(normalizer);
      if (results.empty()) results = pipeline.result;
      EXPECT_TRUE(same_bits(results, pipeline.result));
    });
    return results;
  }

  static void expect_definition(const AttentionInputs<Stored>& inputs) {
    const AttentionCase& sizes = inputs.sizes;
    // Scores are sums of up to 128 products in float, off by some 2^-24 of their spread for every few
    // products, and so are weights; values are below 5, and errors of many small weights cancel at random.
    const double error = std::is_same_v<Stored, double> ? 1e-13 : 4e-6 * (1.0 + sizes.spread);
    for (const Normalizer normalizer : kNormalizers) {
      const std::vector<Stored> results = attend(normalizer, inputs);
      for (int64_t b = 0; b < sizes.batch; ++b) {
        for (int64_t h = 0; h < sizes.heads; ++h) {
          for (int64_t i = 0; i < sizes.queries; ++i) {
            const size_t first = inputs.at(b, i, h, sizes.queries, sizes.heads, sizes.value_width);
            Row actual;
            for (int64_t c = 0; c < sizes.value_width; ++c)
              actual.push_back(read(results[first + static_cast<size_t>(c)]));
            EXPECT_TRUE(close(actual, inputs.wanted(normalizer, b, h, i), error, kRounding<Stored>))
                << sizes << ", normalizer " << static_cast<int>(normalizer) << ", query " << i << " of head "
                << h << " of sequence " << b;
          }
        }
      }
    }
  }

  std::mt19937_64 random{kRowSeed};
};

TYPED_TEST_SUITE(AttentionCudaTest, StorageTypes);

TYPED_TEST(AttentionCudaTest, MatchesTheDefinition) {
  for (const AttentionCase& attention : kCases) {
    // 16-bit types differ from float in loads and stores only; sanitizers cost time.
    if ((kShortTests || sizeof(TypeParam) == 2) && attention.keys > (kShortTests ? 300 : 100)) continue;
    this->expect_definition(AttentionInputs<TypeParam>(attention, this->random));
  }
}

// NaN in one query, and infinity that one query alone meets, stay in their rows.
TYPED_TEST(AttentionCudaTest, UndefinedRowsStayAlone) {
  AttentionInputs<TypeParam> inputs({.name = "undefined", .queries = 10, .keys = 50, .causal = true},
                                    this->random);
  inputs.query[3 * 16 + 2] = stored<TypeParam>(NAN);
  inputs.key[49 * 16 + 1] = stored<TypeParam>(INFINITY);  // the last key, seen by the last query
  inputs.query[9 * 16 + 1] = stored<TypeParam>(2.0);
  for (const Normalizer normalizer : kNormalizers) {
    const std::vector<TypeParam> results = this->attend(normalizer, inputs);
    for (size_t i = 0; i < results.size(); ++i)
      EXPECT_EQ(std::isnan(read(results[i])), i / 16 == 3 || i / 16 == 9) << i;
  }
}

// What a key without weight brings as its value does not count.
TYPED_TEST(AttentionCudaTest, ValuesWithoutWeightAreNotRead) {
  AttentionInputs<TypeParam> inputs({.name = "one key wins", .queries = 2, .keys = 200, .width = 1},
                                    this->random);
  for (auto& query : inputs.query) query = stored<TypeParam>(1.0);
  for (size_t j = 0; j < inputs.key.size(); ++j) {
    inputs.key[j] = stored<TypeParam>(j == 77 ? 9.0 : 1.0);
    if (j != 77) inputs.value[j * 16] = stored<TypeParam>(NAN);
  }
  for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
    const std::vector<TypeParam> results = this->attend(normalizer, inputs);
    for (size_t i = 0; i < results.size(); ++i)
      EXPECT_EQ(read(results[i]), read(inputs.value[77 * 16 + i % 16])) << i;
  }
}

// Numbers outside of the keys or of the indices are not followed, whatever they are.
TYPED_TEST(AttentionCudaTest, ListsOutOfRangeReadNothingElse) {
  AttentionInputs<TypeParam> inputs({.name = "wrong lists", .queries = 4, .keys = 40, .block_rows = 1},
                                    this->random);
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  inputs.row_offsets = {-5, 2, 3, 1, kHuge};
  inputs.key_indices = {39, 40, -1, 7, kHuge, 3, -kHuge};
  for (const Normalizer normalizer : kNormalizers) this->attend(normalizer, inputs);
}

TYPED_TEST(AttentionCudaTest, WrongProblems) {
  AttentionInputs<TypeParam> inputs({.name = "wrong", .queries = 2, .keys = 2}, this->random);
  const auto result_of = [](Normalizer normalizer, const AttentionProblem& problem) {
    return launch_attention(normalizer, kDtype<TypeParam>, problem, nullptr, nullptr, nullptr, nullptr,
                            nullptr, nullptr);
  };
  AttentionProblem problem = inputs.problem;
  problem.heads = 3;
  problem.key_heads = 2;
  EXPECT_EQ(result_of(Normalizer::sparsemax, problem), cudaErrorInvalidValue);
  problem = inputs.problem;
  problem.queries = 0;
  EXPECT_EQ(result_of(Normalizer::softmax, problem), cudaSuccess);
  problem = inputs.problem;
  problem.lists.row_offsets = inputs.key_lengths.data();
  problem.lists.block_columns = 3;  // of two keys
  EXPECT_EQ(result_of(Normalizer::softmax, problem), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace giantrabbit::ops::cuda
