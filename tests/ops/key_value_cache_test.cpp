// KeyValueCache: what goes in comes out, in any cut; sequences grow, leave, repeat and are shared without
// touching one another; codes and their bounds hold for every key.
#include "ops/key_value_cache.h"

#include <limits>

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "ops/cpu/cached_attention.h"
#include "tests/ops/attention_cases.h"
#include "tests/ops/cached_cases.h"
#include "tests/support/seeded.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::CachedInputs;
using test_support::tensors_equal;

using KeyValueCacheTest = test_support::Seeded<::testing::Test>;

TEST_F(KeyValueCacheTest, KeepsWhatIsAppendedAcrossPageBoundaries) {
  const CachedInputs in = test::random_cached(2, 3, 3, 1, 400, 5, 7);
  KeyValueCache cache({2, 3, 5, 7});
  int64_t length = 0;
  for (const int64_t tokens : {0, 1, 62, 1, 1, 63, 64, 65, 143}) {
    cache.append(in.key.narrow(2, length, tokens), in.value.narrow(2, length, tokens));
    length += tokens;
    EXPECT_TRUE(tensors_equal(cache.lengths(), torch::full({2}, length, at::kLong)));
  }
  for (int64_t b = 0; b < 2; ++b) {
    EXPECT_TRUE(tensors_equal(cache.keys(b), in.key[b]));
    EXPECT_TRUE(tensors_equal(cache.values(b), in.value[b]));
  }
}

TEST_F(KeyValueCacheTest, SequencesHaveLengthsOfTheirOwn) {
  const CachedInputs in = test::random_cached(3, 2, 2, 1, 130, 8, 8);
  KeyValueCache cache({3, 2, 8, 8});
  cache.append(in.key, in.value, torch::tensor({130, 0, 64}, at::kLong));
  cache.append(in.key, in.value, torch::tensor({1, 2, 0}, at::kLong));
  EXPECT_TRUE(tensors_equal(cache.lengths(), torch::tensor({131, 2, 64}, at::kLong)));
  EXPECT_TRUE(tensors_equal(cache.keys(0), at::cat({in.key[0], in.key[0].narrow(1, 0, 1)}, 1)));
  EXPECT_TRUE(tensors_equal(cache.values(1), in.value[1].narrow(1, 0, 2)));
}

TEST_F(KeyValueCacheTest, TransposedAndSixteenBitInputs) {
  const at::Tensor key = torch::randn({1, 70, 2, 8}).transpose(1, 2);
  const at::Tensor value = torch::randn({1, 70, 2, 8}).to(at::kBFloat16).transpose(1, 2);
  KeyValueCache cache({1, 2, 8, 8});
  cache.append(key, value);
  EXPECT_TRUE(tensors_equal(cache.keys(0), key[0]));
  EXPECT_TRUE(tensors_equal(cache.values(0), value[0].to(at::kFloat)));
}

TEST_F(KeyValueCacheTest, RowsLeaveRepeatAndGrowApart) {
  const CachedInputs in = test::random_cached(3, 2, 2, 1, 100, 8, 8);
  KeyValueCache cache = test::cache_of(in);
  const KeyValueCache before = cache;
  cache.keep(torch::tensor({2, 0, 2}, at::kLong));
  EXPECT_EQ(&cache.sequence(0), &before.sequence(2));  // not copied
  const CachedInputs more = test::random_cached(3, 2, 2, 1, 30, 8, 8);
  cache.append(more.key, more.value);
  for (const auto& [row, from] : {std::pair<int64_t, int64_t>{0, 2}, {1, 0}, {2, 2}}) {
    EXPECT_TRUE(tensors_equal(cache.keys(row), at::cat({in.key[from], more.key[row]}, 1)));
  }
  EXPECT_TRUE(tensors_equal(before.lengths(), torch::full({3}, 100, at::kLong)));
  EXPECT_TRUE(tensors_equal(before.keys(2), in.key[2]));
  cache.keep(torch::empty({0}, at::kLong));
  EXPECT_EQ(cache.lengths().numel(), 0);
}

TEST_F(KeyValueCacheTest, GrowthIsAmortised) {
  const CachedInputs in = test::random_cached(1, 1, 1, 1, 5000, 16, 16);
  KeyValueCache cache({1, 1, 16, 16}, /*skippable=*/false);
  int64_t moves = 0;
  for (int64_t i = 0; i < 5000; ++i) {
    const float* place = i == 0 ? nullptr : cache.sequence(0).head(0).keys.data;
    cache.append(in.key.narrow(2, i, 1), in.value.narrow(2, i, 1));
    if (cache.sequence(0).head(0).keys.data != place) ++moves;
  }
  EXPECT_LE(moves, 8);  // 64, 128, .., 8192
  EXPECT_LE(cache.bytes(), 2 * 5000 * 32 * 4);
}

TEST_F(KeyValueCacheTest, BytesIncludeTheCodesOfPagesAndOfTheirCentres) {
  KeyValueCache cache({1, 2, 16, 16});
  EXPECT_EQ(cache.bytes(), 0);
  const CachedInputs in = test::random_cached(1, 2, 2, 1, 65 * 64, 16, 16);  // 65 pages, so 2 groups of pages
  cache.append(in.key, in.value);
  int64_t head = 65 * 64 * 2 * 16 * 4;
  if (cpu::decode_functions(cpu::chosen_capability()).filter_pages != nullptr) {
    const auto code = static_cast<int64_t>(64 * 16 + sizeof(cpu::PageCode));
    head += 65 * (code + 4) + 2 * code + 64 * 16 * 4;
  }
  EXPECT_EQ(cache.bytes(), 2 * head);
}

// |k - scale (c - 128)| <= error and |scale (c - 128)| <= norm, in double, whatever the keys are.
TEST_F(KeyValueCacheTest, CodesStayWithinTheirBounds) {
  const bool codes_keys = cpu::decode_functions(cpu::chosen_capability()).encode_page != nullptr;
  for (const test::NamedCase& of : test::hostile_cases(4096, 20)) {
    SCOPED_TRACE(of.name);
    const KeyValueCache cache = test::cache_of(of.inputs);
    const cpu::CachedHead head = cache.sequence(0).head(1);
    const at::Tensor keys = cache.keys(0)[1].to(at::kDouble);
    ASSERT_EQ(head.coded_pages, codes_keys ? 64 : 0);
    if (!codes_keys) continue;
    ASSERT_EQ(head.coded_groups, 1);
    for (int64_t page = 0; page < 64; ++page) {
      const at::Tensor bytes =
          at::from_blob(const_cast<uint8_t*>(head.codes) + page * 64 * 32, {8, 64, 4}, at::kByte);
      const at::Tensor codes =
          bytes.to(at::kDouble).sub(128.0).transpose(0, 1).reshape({64, 32}).narrow(1, 0, 20);
      const cpu::PageCode& bounds = head.pages[page];
      const at::Tensor coded = codes * static_cast<double>(bounds.scale);
      const at::Tensor exact = keys.narrow(0, page * 64, 64);
      EXPECT_LE((exact - coded).norm(2, 1).max().item<double>(), static_cast<double>(bounds.error));
      EXPECT_LE(coded.norm(2, 1).max().item<double>(), static_cast<double>(bounds.norm));
      // The ball, whose centre is the mean in fp32.
      const double radius = (exact - exact.mean(0)).norm(2, 1).max().item<double>();
      EXPECT_LE(radius,
                static_cast<double>(head.radii[page]) * (1 + 1e-6) + 1e-6 * exact.abs().max().item<double>());
    }
  }
}

TEST_F(KeyValueCacheTest, ErrorsNameWhatCame) {
  KeyValueCache cache({2, 1, 4, 4});
  const at::Tensor rows = torch::zeros({2, 1, 3, 4});
  const auto message = [&](const at::Tensor& key, const at::Tensor& value,
                           std::optional<at::Tensor> counts = {}) {
    return test::message_of([&] { cache.append(key, value, counts); });
  };
  EXPECT_NE(message(torch::zeros({2, 1, 3, 5}), rows).find("got [2, 1, 3, 5]"), std::string::npos);
  EXPECT_NE(message(rows, rows.to(at::kDouble)).find("Double"), std::string::npos);
  EXPECT_NE(message(rows, rows, torch::tensor({1, 4}, at::kLong)).find("got 4 for sequence 1"),
            std::string::npos);
  EXPECT_NE(message(rows, rows, torch::tensor({1}, at::kLong)).find("counts"), std::string::npos);
  EXPECT_NE(test::message_of([&] { cache.keep(torch::tensor({2}, at::kLong)); }).find("below 2, got 2"),
            std::string::npos);
  EXPECT_NE(test::message_of([] { KeyValueCache({-1, 1, 1, 1}); }).find("batch -1"), std::string::npos);
}

}  // namespace
}  // namespace giantrabbit::ops
