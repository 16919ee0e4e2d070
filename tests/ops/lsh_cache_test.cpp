// The cache of LSH attention against the operator over the sequence so far, token by token.
#include "ops/lsh_cache.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "tests/support/seeded.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test_support::tensors_close;
using test_support::tensors_equal;

// fp32 sums of the same terms in two orders, values near 1.
constexpr double kCacheTolerance = 2e-5;

struct CacheCase {
  at::Tensor query, value;
  LshHashing hashing;
  LshPattern pattern;
};

CacheCase lsh_cache_case(int64_t length, int64_t chunk_length, bool exclude_self) {
  CacheCase drawn{
      at::randn({2, 3, length, 8}), at::randn({2, 3, length, 5}), LshHashing::random(3, 8, 2, {6}, 7), {}};
  drawn.pattern.chunk_length = chunk_length;
  drawn.pattern.causal = true;
  drawn.pattern.exclude_self = exclude_self;
  return drawn;
}

at::Tensor last_lsh_row(const CacheCase& of, int64_t length, Normalizer normalizer) {
  const auto so_far = [length](const at::Tensor& rows) { return rows.narrow(2, 0, length); };
  return lsh_shared_attention(so_far(of.query), so_far(of.value), of.hashing, of.pattern, normalizer)
      .narrow(2, length - 1, 1);
}

class LshCacheTest : public test_support::Seeded<::testing::TestWithParam<Normalizer>> {};

TEST_P(LshCacheTest, StepsAreTheOperatorsLastRows) {
  for (const bool exclude_self : {true, false}) {
    for (const int64_t chunk_length : {1, 4, 7, 64}) {
      const CacheCase drawn = lsh_cache_case(40, chunk_length, exclude_self);
      LshCache cache(drawn.hashing, drawn.pattern, GetParam(), std::nullopt);
      for (int64_t t = 0; t < 40; ++t) {
        const at::Tensor row = cache.step(drawn.query.narrow(2, t, 1), drawn.value.narrow(2, t, 1));
        ASSERT_TRUE(tensors_close(row, last_lsh_row(drawn, t + 1, GetParam()), kCacheTolerance))
            << "chunk " << chunk_length << ", token " << t;
      }
    }
  }
}

TEST_P(LshCacheTest, AppendedTokensAreSteps) {
  const CacheCase drawn = lsh_cache_case(21, 4, true);
  const at::Tensor counts = at::tensor({20, 5}, at::kLong);
  LshCache cache(drawn.hashing, drawn.pattern, GetParam(), std::nullopt);
  cache.append(drawn.query.narrow(2, 0, 20), drawn.value.narrow(2, 0, 20), counts);
  EXPECT_EQ(cache.length(0), 20);
  EXPECT_EQ(cache.length(1), 5);
  const at::Tensor row = cache.step(drawn.query.narrow(2, 20, 1), drawn.value.narrow(2, 20, 1));
  EXPECT_TRUE(tensors_close(row[0], last_lsh_row(drawn, 21, GetParam())[0], kCacheTolerance));
  CacheCase short_one = drawn;
  const auto joined = [](const at::Tensor& rows) {
    return at::cat({rows.narrow(2, 0, 5), rows.narrow(2, 20, 1)}, 2);
  };
  short_one.query = joined(drawn.query);
  short_one.value = joined(drawn.value);
  EXPECT_TRUE(tensors_close(row[1], last_lsh_row(short_one, 6, GetParam())[1], kCacheTolerance));
}

TEST_P(LshCacheTest, CopiesGrowApartAndRowsChangePlaces) {
  const CacheCase drawn = lsh_cache_case(12, 4, true);
  LshCache cache(drawn.hashing, drawn.pattern, GetParam(), std::nullopt);
  cache.append(drawn.query.narrow(2, 0, 10), drawn.value.narrow(2, 0, 10));
  LshCache copy = cache;
  copy.step(drawn.query.narrow(2, 11, 1), drawn.value.narrow(2, 11, 1));
  EXPECT_EQ(cache.length(0), 10);
  cache.keep(at::tensor({1, 0}, at::kLong));
  const auto swapped = [](const at::Tensor& rows) { return rows.flip(0).narrow(2, 10, 1); };
  const at::Tensor row = cache.step(swapped(drawn.query), swapped(drawn.value));
  EXPECT_TRUE(tensors_close(row.flip(0), last_lsh_row(drawn, 11, GetParam()), kCacheTolerance));
}

TEST_P(LshCacheTest, SameBitsForAnyThreadCount) {
  const CacheCase drawn = lsh_cache_case(30, 4, true);
  std::vector<at::Tensor> rows;
  const int threads = at::get_num_threads();
  for (const int count : {1, 3}) {
    at::set_num_threads(count);
    LshCache cache(drawn.hashing, drawn.pattern, GetParam(), std::nullopt);
    cache.append(drawn.query.narrow(2, 0, 29), drawn.value.narrow(2, 0, 29));
    rows.push_back(cache.step(drawn.query.narrow(2, 29, 1), drawn.value.narrow(2, 29, 1)));
  }
  at::set_num_threads(threads);
  EXPECT_TRUE(tensors_equal(rows[0], rows[1]));
}

INSTANTIATE_TEST_SUITE_P(Normalizers, LshCacheTest,
                         ::testing::Values(Normalizer::softmax, Normalizer::sparsemax, Normalizer::entmax15),
                         [](const auto& instance) { return std::string(normalizer_name(instance.param)); });

TEST(LshCacheChecksTest, RefusesWhatDoesNotFit) {
  const CacheCase drawn = lsh_cache_case(4, 4, true);
  LshPattern open = drawn.pattern;
  open.causal = false;
  EXPECT_THROW(LshCache(drawn.hashing, open, Normalizer::softmax, std::nullopt), c10::Error);
  LshCache cache(drawn.hashing, drawn.pattern, Normalizer::softmax, std::nullopt);
  EXPECT_THROW(cache.step(drawn.query, drawn.value), c10::Error) << "more than one token";
  cache.append(drawn.query, drawn.value);
  EXPECT_THROW(cache.append(drawn.query.narrow(0, 0, 1), drawn.value.narrow(0, 0, 1)), c10::Error);
  EXPECT_THROW(cache.append(drawn.query, drawn.value, at::tensor({5, 0}, at::kLong)), c10::Error);
  EXPECT_THROW(cache.keep(at::tensor({2}, at::kLong)), c10::Error);
}

}  // namespace
}  // namespace giantrabbit::ops
