// Attention by codes (ops/cuda/attention_filter.cuh) where the codes mislead or tell nothing: results are
// those of the definition all the same, and the same bits under every schedule.
#include <cmath>
#include <functional>
#include <iostream>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tests/cuda_emulator/launching.h"
#include "tests/ops_cuda/attention_pipeline.h"

namespace giantrabbit::ops::cuda {
namespace {

template <class Stored>
class AttentionCodesTest : public ::testing::Test {
 protected:
  using Inputs = AttentionInputs<Stored>;

  void TearDown() override {
    if (HasFailure()) std::cout << "seed of the random inputs: " << kRowSeed << '\n';
  }

  // error: of weights, from scores in float up to `largest` times as large as those of the other tests.
  static void expect_definition(const Inputs& inputs, double largest) {
    const AttentionCase& s = inputs.sizes;
    for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
      AttentionPipeline<Stored> pipeline(inputs);
      ASSERT_GT(attention_workspace_bytes(normalizer, kDtype<Stored>, pipeline.problem), 0);
      std::vector<Stored> first;
      cuda_emulator::under_every_schedule([&] {
        pipeline.attend(normalizer);
        if (first.empty()) first = pipeline.result;
        EXPECT_TRUE(same_bits(first, pipeline.result));
      });
      for (int64_t b = 0; b < s.batch; ++b) {
        for (int64_t h = 0; h < s.heads; ++h) {
          for (int64_t i = 0; i < s.queries; ++i) {
            Row actual;
            const size_t at = inputs.at(b, i, h, s.queries, s.heads, s.value_width);
            for (int64_t c = 0; c < s.value_width; ++c)
              actual.push_back(read(first[at + static_cast<size_t>(c)]));
            EXPECT_TRUE(close(actual, inputs.wanted(normalizer, b, h, i), 8e-6 * largest, kRounding<Stored>))
                << s << ", normalizer " << static_cast<int>(normalizer) << ", query " << i << " of head "
                << h;
          }
        }
      }
    }
  }

  // Inputs of the usual kind, changed.
  void expect_definition_of(const AttentionCase& sizes, double largest,
                            const std::function<void(Inputs&)>& change) {
    Inputs inputs(sizes, random);
    change(inputs);
    expect_definition(inputs, largest);
  }

  std::mt19937_64 random{kRowSeed};
};

using CodedTypes = ::testing::Types<float, __nv_bfloat16, __half>;
TYPED_TEST_SUITE(AttentionCodesTest, CodedTypes);

// More tiles than there are blocks, stages of keys and a part of one; sharp and flat rows side by side.
TYPED_TEST(AttentionCodesTest, ManyTiles) {
  this->expect_definition_of({.name = "tiles",
                              .queries = 140,
                              .keys = 165,
                              .width = 20,
                              .value_width = 3,
                              .spread = 2.0,
                              .causal = true,
                              .heads = 4,
                              .key_heads = 2},
                             1.0, [](auto& inputs) {
                               for (size_t i = 0; i < inputs.query.size(); i += 7)
                                 inputs.query[i] = stored<TypeParam>(0.01 * read(inputs.query[i]));
                             });
}

TYPED_TEST(AttentionCodesTest, ListsAreShrunk) {
  // Scores rise towards the first keys, which come last: every step has candidates.
  this->expect_definition_of(
      {.name = "rising", .queries = 33, .keys = 520, .width = 33, .value_width = 2}, 4.0, [](auto& inputs) {
        const size_t width = 33;
        for (size_t i = 0; i < inputs.query.size(); i += width) inputs.query[i] = stored<TypeParam>(4.0);
        for (size_t j = 0; j < 520; ++j) {
          inputs.key[j * width] = stored<TypeParam>(4.0 - static_cast<double>(j) / 64.0);
        }
      });
}

// Keys whose codes are the same: only the exact scores tell them apart.
TYPED_TEST(AttentionCodesTest, KeysBelowTheResolutionOfCodes) {
  this->expect_definition_of(
      {.name = "same codes", .queries = 5, .keys = 60, .width = 64, .value_width = 5}, 8.0, [](auto& inputs) {
        for (size_t at = 0; at < inputs.key.size(); ++at) {
          const double base = at % 3 == 0 ? 1.0 : -1.5;
          inputs.key[at] = stored<TypeParam>(base * (1.0 + 1e-3 * read(inputs.key[at])));
        }
      });
}

TYPED_TEST(AttentionCodesTest, OneHugeKeyAndOneHugeChannel) {
  const AttentionCase sizes{.name = "huge", .queries = 40, .keys = 150, .width = 65, .value_width = 3};
  this->expect_definition_of(sizes, 40.0, [](auto& inputs) {
    for (size_t c = 0; c < 65; ++c)
      inputs.key[77 * 65 + c] = stored<TypeParam>(40.0 * read(inputs.key[77 * 65 + c]));
  });
  this->expect_definition_of(sizes, 40.0, [](auto& inputs) {
    for (size_t j = 0; j < 150; ++j)
      inputs.key[j * 65 + 3] = stored<TypeParam>(40.0 * read(inputs.key[j * 65 + 3]));
  });
}

// Constant scores, ties and rows of zeros.
TYPED_TEST(AttentionCodesTest, Ties) {
  for (const int64_t keys : {3, 90, 140}) {
    this->expect_definition_of({.name = "ties", .queries = 35, .keys = keys, .width = 8, .value_width = 2},
                               1.0, [](auto& inputs) {
                                 for (auto& number : inputs.key) number = stored<TypeParam>(0.5);
                                 for (size_t at = 0; at < 20 * 8; ++at)
                                   inputs.query[at] = stored<TypeParam>(0.0);
                               });
  }
}

// Rows whose codes tell nothing are computed from the operands; those that do not meet them are not touched.
TYPED_TEST(AttentionCodesTest, NumbersThatHaveNoCode) {
  AttentionInputs<TypeParam> inputs({.name = "undefined", .queries = 150, .keys = 150, .causal = true},
                                    this->random);
  inputs.key[60 * 16 + 3] = stored<TypeParam>(NAN);  // seen from query 60 on
  inputs.query[2 * 16] = stored<TypeParam>(INFINITY);
  AttentionPipeline<TypeParam> pipeline(inputs);
  pipeline.attend(Normalizer::sparsemax);
  for (size_t i = 0; i < pipeline.result.size(); ++i)
    EXPECT_EQ(std::isnan(read(pipeline.result[i])), i / 16 >= 60 || i / 16 == 2) << i / 16;
}

// The scaled queries have codes, the products overflow before they are scaled: NaN, as without codes.
TEST(AttentionCodesLimitsTest, ProductsThatOverflow) {
  std::mt19937_64 random(kRowSeed);
  AttentionInputs<float> inputs({.name = "overflow", .queries = 3, .keys = 40}, random);
  for (size_t at = 16; at < 32; ++at) inputs.query[at] *= 1e38F;
  for (float& key : inputs.key) key *= 1e4F;
  inputs.problem.scale = 1e-38;
  for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
    AttentionPipeline<float> pipeline(inputs);
    pipeline.attend(normalizer);
    for (size_t i = 0; i < pipeline.result.size(); ++i)
      EXPECT_EQ(std::isnan(pipeline.result[i]), i / 16 == 1) << i / 16;
  }
}

// Every kind of problem that codes do not serve needs no memory for them.
TEST(AttentionCodesLimitsTest, OtherProblems) {
  std::mt19937_64 random(kRowSeed);
  const AttentionInputs<float> inputs({.name = "plain", .queries = 4, .keys = 4}, random);
  EXPECT_GT(attention_workspace_bytes(Normalizer::entmax15, Dtype::float32, inputs.problem), 0);
  EXPECT_EQ(attention_workspace_bytes(Normalizer::softmax, Dtype::float32, inputs.problem), 0);
  EXPECT_EQ(attention_workspace_bytes(Normalizer::sparsemax, Dtype::float64, inputs.problem), 0);
  AttentionProblem wide = inputs.problem;
  wide.width = 129;
  EXPECT_EQ(attention_workspace_bytes(Normalizer::sparsemax, Dtype::float32, wide), 0);
  EXPECT_EQ(launch_attention(Normalizer::sparsemax, Dtype::float32, inputs.problem, nullptr, nullptr, nullptr,
                             nullptr, nullptr, nullptr),
            cudaErrorInvalidValue);  // without memory
}

}  // namespace
}  // namespace giantrabbit::ops::cuda
