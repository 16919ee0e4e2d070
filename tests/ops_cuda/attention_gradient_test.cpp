// Support and gradients of the CUDA attention kernels under the emulator: against the definition in double
// for every normalizer and mask, the same bits under every schedule, and the row contract. Every case runs
// with rows that keep their entries, and with a capacity that makes most rows wide.
#include <iostream>
#include <random>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "tests/cuda_emulator/launching.h"
#include "tests/ops_cuda/attention_pipeline.h"

namespace giantrabbit::ops::cuda {
namespace {

using cuda_emulator::under_every_schedule;

constexpr Normalizer kNormalizers[] = {Normalizer::softmax, Normalizer::sparsemax, Normalizer::entmax15};

// Lengths around 8 rows a block, 32 a tile and 128 kept entries, heads around 64 columns a round and 128 a
// pass; several parts of the counting sort (32 parts of the rows of a group).
constexpr AttentionCase kCases[] = {
    {.name = "one", .queries = 1, .keys = 1, .width = 1, .value_width = 1},
    {.name = "tile and one", .queries = 33, .keys = 33, .width = 17, .value_width = 5},
    {.name = "below a tile", .queries = 31, .keys = 32, .width = 3, .value_width = 4},
    {.name = "wide heads", .queries = 3, .keys = 9, .width = 129, .value_width = 65},
    {.name = "wide values", .queries = 3, .keys = 7, .width = 5, .value_width = 130},
    {.name = "no keys", .queries = 2, .keys = 0},
    {.name = "no width", .queries = 2, .keys = 5, .width = 0},
    {.name = "no value width", .queries = 2, .keys = 5, .value_width = 0},
    {.name = "heads", .queries = 13, .keys = 37, .batch = 2, .heads = 4, .key_heads = 2},
    {.name = "sharp", .queries = 11, .keys = 97, .spread = 8.0},
    {.name = "flat and wide", .queries = 3, .keys = 300, .width = 8, .spread = 0.01},
    {.name = "causal", .queries = 41, .keys = 41, .causal = true},
    {.name = "more queries than keys", .queries = 40, .keys = 6, .causal = true},
    {.name = "window", .queries = 70, .keys = 70, .window = 5},
    {.name = "causal window", .queries = 30, .keys = 75, .causal = true, .window = 33},
    // Query 256 begins another round over the flags of wide blocks; keys 0 to 7 are seen from query 1 to 256.
    {.name = "long window", .queries = 263, .keys = 138, .width = 1, .value_width = 1, .window = 125},
    {.name = "lists", .queries = 33, .keys = 18, .block_rows = 1},
    {.name = "lists of all keys", .queries = 5, .keys = 97, .block_rows = 1, .listed_of_five = 5},
    {.name = "lists of blocks", .queries = 17, .keys = 34, .block_rows = 3, .block_columns = 4},
    {.name = "bias", .queries = 9, .keys = 45, .batch = 2, .heads = 2, .with_bias = true},
    kEveryOption,
};

struct Gradients {
  Row query;
  Row key;
  Row value;
  Row bias;
};

template <class Stored>
Row softmax_gradient(const Row& weights, const Row& grad) {
  double mean = 0.0;
  for (size_t j = 0; j < weights.size(); ++j) mean += weights[j] == 0.0 ? 0.0 : weights[j] * grad[j];
  Row result(weights.size(), 0.0);
  for (size_t j = 0; j < weights.size(); ++j)
    result[j] = weights[j] == 0.0 ? 0.0 : weights[j] * (grad[j] - mean);
  return result;
}

// By definition, from the operands in double.
template <class Stored>
Gradients reference_gradients(const AttentionInputs<Stored>& in, Normalizer normalizer) {
  const AttentionCase& s = in.sizes;
  Gradients all{Row(in.query.size(), 0.0), Row(in.key.size(), 0.0), Row(in.value.size(), 0.0), {}};
  const auto width = static_cast<size_t>(s.width);
  const auto value_width = static_cast<size_t>(s.value_width);
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.heads; ++h) {
      for (int64_t i = 0; i < s.queries; ++i) {
        const Row weights = in.weights(normalizer, b, h, i);
        const size_t q = in.at(b, i, h, s.queries, s.heads, s.width);
        const size_t o = in.at(b, i, h, s.queries, s.heads, s.value_width);
        Row grad(weights.size(), 0.0);
        for (int64_t j = 0; j < s.keys; ++j) {
          const double weight = weights[static_cast<size_t>(j)];
          const size_t v = in.at(b, j, in.key_head(h), s.keys, s.key_heads, s.value_width);
          for (size_t c = 0; weight != 0.0 && c < value_width; ++c) {
            grad[static_cast<size_t>(j)] += read(in.result_grad[o + c]) * read(in.value[v + c]);
            all.value[v + c] += weight * read(in.result_grad[o + c]);
          }
        }
        const Row scores = normalizer == Normalizer::softmax ? softmax_gradient<Stored>(weights, grad)
                                                             : reference_gradient(normalizer, weights, grad);
        for (int64_t j = 0; j < s.keys; ++j) {
          const double score = scores[static_cast<size_t>(j)];
          const size_t k = in.at(b, j, in.key_head(h), s.keys, s.key_heads, s.width);
          for (size_t c = 0; score != 0.0 && c < width; ++c) {
            all.query[q + c] += in.problem.scale * score * read(in.key[k + c]);
            all.key[k + c] += in.problem.scale * score * read(in.query[q + c]);
          }
        }
        all.bias.insert(all.bias.end(), scores.begin(), scores.end());
      }
    }
  }
  return all;
}

template <class T>
Row widened_row(const std::vector<T>& values) {
  Row row;
  for (const T& value : values) row.push_back(read(value));
  return row;
}

template <class Stored>
class AttentionGradientCudaTest : public ::testing::Test {
 protected:
  using Pipeline = AttentionPipeline<Stored>;

  void TearDown() override {
    if (HasFailure()) std::cout << "seed of the random inputs: " << kRowSeed << '\n';
  }

  // Scores are off by some 2^-24 of their spread for every few products, weights and their roots by as much,
  // and gradients are sums of up to 70 such products with numbers below 20, whose errors cancel at random.
  // Double inputs have no entry so close to a threshold that the errors decide.
  static double tolerance(const AttentionCase& sizes) {
    return std::is_same_v<Stored, double> ? 1e-11 : 4e-5 * (1.0 + sizes.spread);
  }

  static void expect_gradients(const Pipeline& pipeline, const Gradients& wanted,
                               const AttentionCase& sizes) {
    const double error = tolerance(sizes);
    EXPECT_TRUE(close(widened_row(pipeline.query_grad), wanted.query, error, kRounding<Stored>));
    EXPECT_TRUE(close(widened_row(pipeline.key_grad), wanted.key, error, kRounding<Stored>));
    EXPECT_TRUE(close(widened_row(pipeline.value_grad), wanted.value, error, kRounding<Stored>));
    EXPECT_TRUE(close(widened_row(pipeline.bias_grad), wanted.bias, error, 0.0));
  }

  static void expect_same_bits(const Pipeline& a, const Pipeline& b) {
    EXPECT_TRUE(same_bits(a.query_grad, b.query_grad));
    EXPECT_TRUE(same_bits(a.key_grad, b.key_grad));
    EXPECT_TRUE(same_bits(a.value_grad, b.value_grad));
    EXPECT_TRUE(same_bits(a.bias_grad, b.bias_grad));
  }

  static void expect_definition(const AttentionInputs<Stored>& inputs, Normalizer normalizer,
                                int64_t capacity) {
    SCOPED_TRACE(::testing::Message() << inputs.sizes << ", normalizer " << static_cast<int>(normalizer)
                                      << ", capacity " << capacity);
    const Gradients wanted = reference_gradients(inputs, normalizer);
    std::vector<std::unique_ptr<Pipeline>> runs;
    under_every_schedule([&] {
      runs.push_back(std::make_unique<Pipeline>(inputs));
      runs.back()->attend_and_keep(normalizer, capacity, false);
      runs.back()->differentiate(normalizer, {});
      expect_same_bits(*runs.back(), *runs.front());
    });
    expect_gradients(*runs.front(), wanted, inputs.sizes);
  }

  static void expect_support(const AttentionInputs<Stored>& inputs, Normalizer normalizer, int64_t capacity) {
    SCOPED_TRACE(::testing::Message() << inputs.sizes << ", normalizer " << static_cast<int>(normalizer)
                                      << ", capacity " << capacity);
    Pipeline pipeline(inputs);
    pipeline.attend_and_keep(normalizer, capacity, true);
    const AttentionCase& s = inputs.sizes;
    size_t row = 0;
    for (int64_t b = 0; b < s.batch; ++b) {
      for (int64_t h = 0; h < s.heads; ++h) {
        for (int64_t i = 0; i < s.queries; ++i, ++row) {
          const Row weights = inputs.weights(normalizer, b, h, i);
          Row actual(weights.size(), 0.0);
          const auto begin = static_cast<size_t>(pipeline.row_offsets[row]);
          const auto end = static_cast<size_t>(pipeline.row_offsets[row + 1]);
          for (size_t entry = begin; entry < end; ++entry) {
            const auto key = static_cast<size_t>(pipeline.keys[entry]);
            ASSERT_TRUE(entry == begin || pipeline.keys[entry] > pipeline.keys[entry - 1]);
            ASSERT_LT(key, weights.size());
            actual[key] = read(pipeline.weights[entry]);
            EXPECT_NE(weights[key], 0.0) << "key " << key << " of row " << row;
          }
          // As in AttentionCudaTest: errors of scores, and at most one rounding.
          EXPECT_TRUE(
              close(actual, weights, std::is_same_v<Stored, double> ? 1e-13 : 4e-6 * (1.0 + s.spread), 0.0));
        }
      }
    }
  }

  std::mt19937_64 random{kRowSeed};
};

TYPED_TEST_SUITE(AttentionGradientCudaTest, StorageTypes);

TYPED_TEST(AttentionGradientCudaTest, MatchesTheDefinition) {
  for (const AttentionCase& attention : kCases) {
    // 16-bit types differ from float in loads and stores only; sanitizers cost time.
    const bool large = attention.queries * attention.keys * attention.heads > 600;
    if ((kShortTests || sizeof(TypeParam) == 2) && large) continue;
    if (attention.queries > 100 && sizeof(TypeParam) != 4) continue;
    const AttentionInputs<TypeParam> inputs(attention, this->random);
    for (const Normalizer normalizer : kNormalizers) {
      this->expect_definition(inputs, normalizer, kMostKeptKeys);
      if (normalizer == Normalizer::entmax15) this->expect_definition(inputs, normalizer, 2);
    }
  }
}

TYPED_TEST(AttentionGradientCudaTest, SupportMatchesTheDefinition) {
  for (const AttentionCase& attention : kCases) {
    const bool large = attention.queries * attention.keys * attention.heads > 900;
    if ((kShortTests || sizeof(TypeParam) == 2) && large) continue;
    if (attention.queries > 100) continue;
    const AttentionInputs<TypeParam> inputs(attention, this->random);
    for (const Normalizer normalizer : kNormalizers) {
      this->expect_support(inputs, normalizer, kMostKeptKeys);
      if (normalizer == Normalizer::sparsemax) this->expect_support(inputs, normalizer, 3);
    }
  }
}

// Each alone has the bits that it has among the others.
TYPED_TEST(AttentionGradientCudaTest, OnlyWhatIsNeeded) {
  const AttentionInputs<TypeParam> inputs({.name = "needed", .queries = 10, .keys = 20, .with_bias = true},
                                          this->random);
  for (const Normalizer normalizer : kNormalizers) {
    AttentionPipeline<TypeParam> all(inputs);
    all.attend_and_keep(normalizer, 4, false);
    all.differentiate(normalizer, {});
    AttentionPipeline<TypeParam> one(inputs);
    one.attend_and_keep(normalizer, 4, false);
    one.differentiate(normalizer, {true, false, false, false});
    EXPECT_TRUE(same_bits(one.query_grad, all.query_grad));
    one.differentiate(normalizer, {false, true, false, false});
    EXPECT_TRUE(same_bits(one.key_grad, all.key_grad));
    one.differentiate(normalizer, {false, false, true, false});
    EXPECT_TRUE(same_bits(one.value_grad, all.value_grad));
    one.differentiate(normalizer, {false, false, false, true});
    EXPECT_TRUE(same_bits(one.bias_grad, all.bias_grad));
  }
}

// Queries 3 and 9 are undefined, by NaN and by an infinite key that query 9 alone meets. Rows and keys that
// have nothing to do with them have finite gradients.
TYPED_TEST(AttentionGradientCudaTest, UndefinedRowsStayAlone) {
  AttentionInputs<TypeParam> inputs({.name = "undefined", .queries = 10, .keys = 50, .causal = true},
                                    this->random);
  inputs.query[9 * 16 + 2] = stored<TypeParam>(NAN);
  inputs.key[49 * 16 + 1] = stored<TypeParam>(INFINITY);  // the last key, seen by the last query
  inputs.result_grad[3 * 16 + 1] = stored<TypeParam>(INFINITY);
  for (const Normalizer normalizer : kNormalizers) {
    AttentionPipeline<TypeParam> pipeline(inputs);
    pipeline.attend_and_keep(normalizer, kMostKeptKeys, false);
    pipeline.differentiate(normalizer, {});
    for (size_t i = 0; i < pipeline.query_grad.size(); ++i)
      EXPECT_EQ(std::isfinite(read(pipeline.query_grad[i])), i / 16 != 3 && i / 16 != 9) << i;
    for (size_t j = 0; j < pipeline.key_grad.size(); ++j) {
      EXPECT_TRUE(std::isnan(read(pipeline.key_grad[j]))) << j;  // the undefined row sees every key
      EXPECT_TRUE(std::isnan(read(pipeline.value_grad[j]))) << j;
    }
  }
}

// Keys that no row with a weight on them sees keep zero gradients, though what they hold is not finite.
TYPED_TEST(AttentionGradientCudaTest, KeysWithoutWeightAreNotRead) {
  AttentionInputs<TypeParam> inputs({.name = "one key wins", .queries = 2, .keys = 200, .width = 1},
                                    this->random);
  for (auto& query : inputs.query) query = stored<TypeParam>(1.0);
  for (size_t j = 0; j < inputs.key.size(); ++j) {
    inputs.key[j] = stored<TypeParam>(j == 77 ? 9.0 : 1.0);
    if (j != 77) inputs.value[j * 16] = stored<TypeParam>(NAN);
  }
  for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
    AttentionPipeline<TypeParam> pipeline(inputs);
    pipeline.attend_and_keep(normalizer, kMostKeptKeys, false);
    EXPECT_EQ(pipeline.keys, (std::vector<int32_t>{77, 77}));
    pipeline.differentiate(normalizer, {});
    for (size_t k = 0; k < pipeline.value_grad.size(); ++k)
      EXPECT_EQ(read(pipeline.value_grad[k]) != 0.0, k / 16 == 77) << k;
    for (const TypeParam& gradient : pipeline.query_grad) EXPECT_EQ(read(gradient), 0.0);
  }
}

// All keys equal: equal weights, and no gradient reaches the scores of equal values.
TYPED_TEST(AttentionGradientCudaTest, TiesShareEqually) {
  AttentionInputs<TypeParam> inputs({.name = "ties", .queries = 9, .keys = 64, .width = 2}, this->random);
  for (auto& key : inputs.key) key = stored<TypeParam>(0.5);
  for (size_t k = 0; k < inputs.value.size(); ++k) inputs.value[k] = inputs.value[k % 16];
  for (const Normalizer normalizer : kNormalizers) {
    AttentionPipeline<TypeParam> pipeline(inputs);
    pipeline.attend_and_keep(normalizer, kMostKeptKeys, true);
    for (const auto& weight : pipeline.weights) EXPECT_EQ(read(weight), 1.0 / 64.0);
    ASSERT_EQ(pipeline.weights.size(), 9U * 64U);
    pipeline.differentiate(normalizer, {});
    // What is left is the rounding of a mean of 64 equal numbers below 20.
    for (const TypeParam& gradient : pipeline.key_grad) EXPECT_NEAR(read(gradient), 0.0, 1e-5);
  }
}

// A weight too small for its dtype is in the support of softmax.
TYPED_TEST(AttentionGradientCudaTest, SoftmaxKeepsWhatIsPermitted) {
  AttentionInputs<TypeParam> inputs(
      {.name = "vanishing", .queries = 1, .keys = 3, .width = 1, .value_width = 1}, this->random);
  inputs.query[0] = stored<TypeParam>(1.0);
  inputs.key = {stored<TypeParam>(0.0), stored<TypeParam>(2000.0), stored<TypeParam>(0.0)};
  AttentionPipeline<TypeParam> pipeline(inputs);
  pipeline.attend_and_keep(Normalizer::softmax, 0, true);
  EXPECT_EQ(pipeline.keys, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(widened_row(pipeline.weights), (Row{0.0, 1.0, 0.0}));
}

}  // namespace
}  // namespace giantrabbit::ops::cuda
