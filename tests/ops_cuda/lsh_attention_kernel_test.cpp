// The CUDA kernels of lsh_attention under the emulator: result and gradients against the definition in double
// for every normalizer and pattern, the same bits under every schedule, and the row contract.
#include <iostream>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tests/cuda_emulator/launching.h"
#include "tests/ops_cuda/lsh_cases.h"
#include "tests/ops_cuda/lsh_runs.h"

namespace giantrabbit::ops::cuda {
namespace {

using cuda_emulator::under_every_schedule;

constexpr Normalizer kLshNormalizers[] = {Normalizer::softmax, Normalizer::sparsemax, Normalizer::entmax15};

// Lengths and chunks around 8 rows a block and 32 keys a tile, windows within a round and across the seams of
// rounds, widths around 64 columns a round and 128 a pass.
constexpr LshCase kLshCases[] = {
    {.name = "one", .length = 1, .width = 1, .value_width = 1},
    {.name = "two", .length = 2, .rounds = 2, .chunk_length = 1, .causal = true},
    {.name = "a chunk of all", .length = 31, .chunk_length = 31, .exclude_self = false},
    {.name = "a tile", .length = 32, .chunk_length = 32, .causal = true},
    {.name = "tile and one", .length = 33, .rounds = 2, .chunk_length = 33, .chunks_before = 0},
    {.name = "blocks of rows", .length = 37, .rounds = 2, .chunk_length = 9, .causal = true},
    {.name = "around a tile", .length = 41, .chunk_length = 31, .width = 17},
    {.name = "seams", .length = 13, .rounds = 4, .chunk_length = 3, .chunks_before = 2, .chunks_after = 1},
    {.name = "padding", .length = 29, .rounds = 2, .chunk_length = 4, .chunks_after = 1, .padding = true},
    {.name = "causal padding", .length = 19, .rounds = 3, .chunk_length = 2, .causal = true, .padding = true},
    {.name = "chunks of one", .length = 7, .rounds = 2, .chunk_length = 1},
    {.name = "wider than the circle",
     .length = 11,
     .rounds = 2,
     .chunk_length = 7,
     .chunks_before = 40,
     .chunks_after = 30},
    {.name = "longer than all", .length = 9, .rounds = 2, .chunk_length = 100},
    {.name = "heads", .length = 10, .rounds = 2, .causal = true, .batch = 2, .heads = 3},
    {.name = "wide heads", .length = 9, .chunk_length = 3, .width = 65, .value_width = 129},
    {.name = "two passes", .length = 6, .chunk_length = 2, .width = 129, .value_width = 3},
    {.name = "no width", .length = 6, .chunk_length = 2, .width = 0},
    {.name = "no values", .length = 6, .chunk_length = 2, .value_width = 0},
    {.name = "sharp", .length = 30, .rounds = 2, .chunk_length = 8, .spread = 8.0},
};

template <class Stored>
class LshAttentionCudaTest : public ::testing::Test {
 protected:
  using M = std::conditional_t<std::is_same_v<Stored, double>, double, float>;

  void TearDown() override {
    if (HasFailure()) std::cout << "seed of the random inputs: " << kRowSeed << '\n';
  }

  static LshRun<M> run(Normalizer normalizer, const LshInputsOf<Stored>& inputs) {
    const LshRunner<Stored> runner(inputs);
    LshRun<M> first;
    under_every_schedule([&] {
      const LshRun<M> one = runner.run(normalizer);
      if (first.result.empty()) first = one;
      for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(same_bits(*one.all()[i], *first.all()[i]));
    });
    return first;
  }

  static void expect_rows(const std::vector<M>& actual, const Matrix& wanted, int64_t head, double error,
                          const char* what) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      const size_t width = wanted[i].size();
      EXPECT_TRUE(close(row_of(actual, static_cast<size_t>(head) * wanted.size() + i, width), wanted[i],
                        error, error))
          << what << " of position " << i << ", head " << head;
    }
  }

  static void expect_definition(const LshInputsOf<Stored>& inputs) {
    const LshCase& sizes = inputs.sizes;
    // Scores are sums of up to 129 products in float, off by some 2^-24 of their spread for every few
    // products, and so are weights. Values and gradients are below 5; a gradient sums up to 80 terms with the
    // errors of two such products each.
    const double error = (std::is_same_v<M, double> ? 1e-13 : 4e-6) * (1.0 + sizes.spread);
    for (const Normalizer normalizer : kLshNormalizers) {
      SCOPED_TRACE(::testing::Message() << sizes << ", normalizer " << static_cast<int>(normalizer));
      const LshRun<M> actual = run(normalizer, inputs);
      for (int64_t head = 0; head < sizes.batch * sizes.heads; ++head) {
        const LshWanted wanted = inputs.wanted(normalizer, head / sizes.heads, head % sizes.heads);
        expect_rows(actual.result, wanted.result, head, error, "result");
        expect_rows(actual.grad_query, wanted.grad_query, head, 8 * error, "gradient of the query");
        expect_rows(actual.grad_key, wanted.grad_key, head, 8 * error, "gradient of the key");
        expect_rows(actual.grad_value, wanted.grad_value, head, 8 * error, "gradient of the value");
      }
    }
  }

  std::mt19937_64 random{kRowSeed};
};

TYPED_TEST_SUITE(LshAttentionCudaTest, StorageTypes);
using ComputingTypes = ::testing::Types<float, double>;  // 16-bit types are computed with as float

TYPED_TEST(LshAttentionCudaTest, MatchesTheDefinition) {
  for (const LshCase& of : kLshCases) {
    // Other types differ from float in loads and in the type of the numbers only; sanitizers cost time.
    constexpr int64_t kLongest = kDtype<TypeParam> == Dtype::float32     ? 100
                                 : kShortTests && sizeof(TypeParam) == 2 ? 7
                                                                         : 11;
    if (of.length > kLongest) continue;
    this->expect_definition(LshInputsOf<TypeParam>(of, this->random));
  }
}

#if !defined(GR_SHORT_TESTS)
using WideLshAttentionCudaTest = LshAttentionCudaTest<float>;

// Scores so close to one another that every key has a weight, and more of them than a list holds. Takes long,
// and what was read from another type is the same from there on.
TEST_F(WideLshAttentionCudaTest, RowsWiderThanAList) {
  const LshInputsOf<float> inputs({.name = "wide",
                                   .length = 131,
                                   .chunk_length = 131,
                                   .causal = true,
                                   .exclude_self = false,
                                   .width = 1,
                                   .value_width = 1,
                                   .spread = 1e-3},
                                  random);
  for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
    const auto result = LshRunner<float>(inputs).result(normalizer);
    expect_rows(result, inputs.wanted(normalizer, 0, 0).result, 0, 4e-6, "result");
  }
}
#endif

// NaN in a query, and a key whose infinite score some queries meet, stay in the rows that see them. A row
// that sees only itself reads no score.
TYPED_TEST(LshAttentionCudaTest, UndefinedRowsStayAlone) {
  LshInputsOf<TypeParam> inputs({.name = "undefined", .length = 12, .rounds = 2, .chunk_length = 3},
                                this->random);
  inputs.query[7 * 8 + 2] = stored<TypeParam>(NAN);
  for (size_t c = 0; c < 8; ++c) inputs.key[4 * 8 + c] = stored<TypeParam>(NAN);
  const std::vector<std::vector<int>> counts = inputs.counts(0, 0);
  for (const Normalizer normalizer : kLshNormalizers) {
    const auto actual = this->run(normalizer, inputs);
    int undefined = 0;
    for (size_t i = 0; i < 12; ++i) {
      const bool wanted = i == 7 || counts[i][4] != 0;
      undefined += wanted ? 1 : 0;
      for (size_t c = 0; c < 5; ++c) EXPECT_EQ(std::isnan(actual.result[i * 5 + c]), wanted) << i;
      for (size_t c = 0; c < 8; ++c) EXPECT_EQ(std::isnan(actual.grad_query[i * 8 + c]), wanted) << i;
    }
    EXPECT_LT(undefined, 12);
    for (size_t j = 0; j < 12; ++j) {
      bool seen_by_undefined = false;
      for (size_t i = 0; i < 12; ++i)
        seen_by_undefined = seen_by_undefined || (counts[i][j] != 0 && (i == 7 || counts[i][4] != 0));
      for (size_t c = 0; c < 5; ++c)
        EXPECT_EQ(std::isnan(actual.grad_value[j * 5 + c]), seen_by_undefined) << j;
    }
  }
}

// One key wins by far, and every other value is infinite: what has no weight does not count, in whichever
// order the keys come.
TYPED_TEST(LshAttentionCudaTest, ValuesWithoutWeightDoNotCount) {
  LshInputsOf<TypeParam> inputs({.name = "one key wins",
                                 .length = 40,
                                 .rounds = 2,
                                 .chunk_length = 20,
                                 .exclude_self = false,
                                 .width = 1},
                                this->random);
  for (size_t i = 0; i < 40; ++i) {
    inputs.query[i] = stored<TypeParam>(1.0);
    inputs.key[i] = stored<TypeParam>(i == 17 ? 2000.0 : 1.0);
    for (size_t c = 0; c < 5; ++c) {
      if (i != 17) inputs.value[i * 5 + c] = stored<TypeParam>(INFINITY);
    }
  }
  const std::vector<std::vector<int>> counts = inputs.counts(0, 0);
  for (const Normalizer normalizer : kLshNormalizers) {
    const auto actual = this->run(normalizer, inputs);
    for (size_t i = 0; i < 40; ++i) {
      if (counts[i][17] == 0) continue;
      for (size_t c = 0; c < 5; ++c)
        EXPECT_EQ(static_cast<double>(actual.result[i * 5 + c]), read(inputs.value[17 * 5 + c])) << i;
      if (normalizer != Normalizer::softmax) {
        EXPECT_EQ(actual.grad_query[i], 0) << i;
      }
    }
  }
}

template <class Stored>
class LshAttentionScoresCudaTest : public LshAttentionCudaTest<Stored> {};

TYPED_TEST_SUITE(LshAttentionScoresCudaTest, ComputingTypes);

// Scores that are all equal, or equal in pairs, or far from each other, or beyond what exp can take.
TYPED_TEST(LshAttentionScoresCudaTest, HostileScores) {
  for (const double spread : {0.0, 1.0, 1e4}) {
    LshInputsOf<TypeParam> inputs({.name = "hostile",
                                   .length = 18,
                                   .rounds = 3,
                                   .chunk_length = 5,
                                   .causal = true,
                                   .width = 4,
                                   .spread = spread},
                                  this->random);
    for (TypeParam& number : inputs.query) number = stored<TypeParam>(std::round(read(number)));
    for (TypeParam& number : inputs.key) number = stored<TypeParam>(std::round(read(number)));
    this->expect_definition(inputs);
  }
}

TYPED_TEST(LshAttentionCudaTest, WrongProblems) {
  const LshInputsOf<TypeParam> inputs({.name = "wrong", .length = 2}, this->random);
  const auto result_of = [](const LshProblem& problem) {
    return launch_lsh_softmax(kDtype<TypeParam>, problem, {}, nullptr, nullptr, nullptr);
  };
  LshProblem problem = inputs.problem;
  problem.chunk_length = 0;
  EXPECT_EQ(result_of(problem), cudaErrorInvalidValue);
  problem = inputs.problem;
  problem.rounds = int64_t{1} << 31;
  EXPECT_EQ(result_of(problem), cudaErrorInvalidValue);
  problem = inputs.problem;
  problem.heads = 0;
  EXPECT_EQ(result_of(problem), cudaSuccess);
  EXPECT_EQ(launch_lsh_scores(kDtype<TypeParam>, inputs.problem, {1, 1}, {}, nullptr, nullptr, nullptr),
            cudaErrorInvalidValue);
  EXPECT_EQ(launch_lsh_sparse_rows(Normalizer::softmax, kDtype<TypeParam>, inputs.problem, {0, 1}, nullptr,
                                   nullptr, nullptr, nullptr, {}, nullptr),
            cudaErrorInvalidValue);
}

}  // namespace
}  // namespace giantrabbit::ops::cuda
