// Steps on plain memory against their tensor forms: layer norm, appending one token per sequence, and
// attention of one query per sequence.
#include "ops/generation_step.h"

#include <gtest/gtest.h>

#include "tests/ops/cached_cases.h"
#include "tests/support/seeded.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test_support::tensors_close;
using test_support::tensors_equal;

class GenerationStepTest : public test_support::Seeded<::testing::Test> {};

TEST_F(GenerationStepTest, LayerNormIsLibTorchs) {
  for (const int64_t width : {1, 2, 8, 15, 16, 17, 63, 64, 128, 200}) {
    SCOPED_TRACE(width);
    const at::Tensor gain = torch::randn({width});
    const at::Tensor offset = torch::randn({width});
    const at::Tensor input = torch::randn({3, width}) * 3 + 5;
    const at::Tensor output = torch::empty({3, width});
    LayerNorm(gain, offset).apply(input.const_data_ptr<float>(), 3, output.mutable_data_ptr<float>());
    EXPECT_TRUE(tensors_close(output, at::layer_norm(input, {width}, gain, offset), 2e-5));
  }
}

// Queries, keys and values of a token in one row, as a product leaves them; widths that need padding and
// widths that do not, more heads than key/value heads, a window, sequences of different lengths.
TEST_F(GenerationStepTest, AttendsAsCachedAttentionDoes) {
  for (const Normalizer normalizer : {Normalizer::softmax, Normalizer::sparsemax, Normalizer::entmax15}) {
    for (const auto& [width, value_width] : {std::pair<int64_t, int64_t>{5, 7}, {32, 16}}) {
      for (const std::optional<int64_t> window : {std::optional<int64_t>(), std::optional<int64_t>(3)}) {
        const int64_t heads = 4, key_heads = 2;
        const test::CachedInputs in = test::random_cached(3, heads, key_heads, 1, 600, width, value_width);
        KeyValueCache cache = test::cache_of(in, torch::tensor({600, 17, 0}, at::kLong));
        KeyValueCache tensors = cache;
        const int64_t step = heads * width + key_heads * (width + value_width);
        const at::Tensor rows = torch::randn({3, step});
        const auto part = [&](int64_t begin, int64_t count, int64_t of_width) {
          return rows.narrow(1, begin, count * of_width).view({3, count, 1, of_width});
        };
        const float* row = rows.const_data_ptr<float>();
        cache.append_token(row + heads * width, row + (heads + key_heads) * width, step);
        tensors.append(part(heads * width, key_heads, width),
                       part((heads + key_heads) * width, key_heads, value_width));
        for (int64_t b = 0; b < 3; ++b) {
          EXPECT_TRUE(tensors_equal(cache.keys(b), tensors.keys(b)));
          EXPECT_TRUE(tensors_equal(cache.values(b), tensors.values(b)));
        }
        const at::Tensor output = torch::full({3, heads * value_width + 1}, 7.0);
        CachedAttentionCounters counters;
        attend_token({row, step, heads, output.mutable_data_ptr<float>(), output.size(1)}, cache, normalizer,
                     0.5, window, counters);
        const at::Tensor expected = cached_attention(part(0, heads, width), tensors, normalizer, 0.5, window);
        EXPECT_TRUE(tensors_equal(output.narrow(1, 0, heads * value_width), expected.view({3, -1})));
        EXPECT_TRUE(tensors_equal(output.select(1, heads * value_width), torch::full({3}, 7.0)));
        EXPECT_EQ(counters.rows, 3 * heads);
      }
    }
  }
}

TEST_F(GenerationStepTest, SharedSequencesAreCopiedBeforeTheyGrow) {
  const test::CachedInputs in = test::random_cached(1, 1, 1, 1, 3, 16, 16);
  const KeyValueCache before = test::cache_of(in);
  KeyValueCache after = before;
  const at::Tensor row = torch::randn({32});
  after.append_token(row.const_data_ptr<float>(), row.const_data_ptr<float>() + 16, 32);
  EXPECT_EQ(before.length(0), 3);
  EXPECT_EQ(after.length(0), 4);
  EXPECT_TRUE(tensors_equal(after.keys(0).narrow(1, 0, 3), before.keys(0)));
}

}  // namespace
}  // namespace giantrabbit::ops
