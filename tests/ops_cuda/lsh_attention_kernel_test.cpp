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
// rounds, widths around 64 columns a round and 128 a pass, rows of scores beyond a list of 128.
constexpr LshCase kLshCases[] = {
    {.name = "one", .length = 1, .width = 1, .value_width = 1},
    {.name = "two", .length = 2, .rounds = 2, .chunk_length = 1, .causal = true},
    {.name = "a chunk of all", .length = 31, .chunk_length = 31, .exclude_self = false},
    {.name = "a tile", .length = 32, .chunk_length = 32, .causal = true},
    {.name = "tile and one", .length = 33, .rounds = 2, .chunk_length = 33, .chunks_before = 0},
    {.name = "blocks of rows", .length = 37, .rounds = 2, .chunk_length = 9, .causal = true},
    {.name = "around a tile", .length = 61, .chunk_length = 31, .width = 17},
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
    {.name = "flat and wide", .length = 80, .rounds = 2, .chunk_length = 41, .width = 4, .spread = 1e-3},
    {.name = "sharp", .length = 40, .rounds = 2, .chunk_length = 8, .spread = 8.0},
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
    const double error = std::is_same_v<M, double> ? 1e-13 : 4e-6 * (1.0 + sizes.spread);
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

TYPED_TEST(LshAttentionCudaTest, MatchesTheDefinition) {
  for (const LshCase& of : kLshCases) {
    // 16-bit types differ from float in loads only; sanitizers cost time.
    if ((kShortTests || sizeof(TypeParam) == 2) && of.length > 20) continue;
    this->expect_definition(LshInputsOf<TypeParam>(of, this->random));
  }
}

}  // namespace
}  // namespace giantrabbit::ops::cuda
