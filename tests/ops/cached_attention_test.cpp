// cached_attention against the definition in double, on random and on hostile numbers, for every instruction
// set; its contract, its independence of threads and of the way the cache was filled, and what it skips.
#include "ops/cached_attention.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include <ATen/Parallel.h>

#include "ops/cpu/cached_attention.h"
#include "tests/ops/attention_cases.h"
#include "tests/ops/cached_cases.h"
#include "tests/support/seeded.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::CachedInputs;
using test_support::tensors_close;
using test_support::tensors_equal;

using CachedAttentionTest = test_support::Seeded<::testing::Test>;
class CachedCapabilityTest : public test_support::Seeded<::testing::TestWithParam<cpu::Capability>> {};

std::vector<int64_t> whole(const CachedInputs& in) {
  return std::vector<int64_t>(static_cast<size_t>(in.key.size(0)), in.key.size(2));
}

double support_size(const CachedInputs& in, Normalizer normalizer, double scale) {
  const at::Tensor weights =
      reference::attention_weights(in.query.to(at::kDouble), in.key.to(at::kDouble), {}, normalizer, scale);
  return normalizer == Normalizer::softmax ? 1.0 : weights.gt(0).sum(-1).max().item<double>();
}

// One row through the kernels of one instruction set.
struct RowResult {
  at::Tensor output;
  cpu::CachedSupport support;
  CachedAttentionCounters counters;
};

RowResult attend_row(cpu::Capability capability, const CachedInputs& in, const KeyValueCache& cache,
                     int64_t head, Normalizer normalizer, double scale, bool dense) {
  const int64_t width = in.query.size(3);
  const at::Tensor query = at::zeros({cpu::padded_row(width)});
  query.narrow(0, 0, width).copy_(in.query[0][head][0]);
  RowResult result{at::empty({cpu::padded_row(in.value.size(3))}), {}, {}};
  const cpu::CachedHead cached = cache.sequence(0).head(head);
  const cpu::CachedCall call{cpu::decode_functions(capability), normalizer, static_cast<float>(scale)};
  cpu::CachedQuery row{query.const_data_ptr<float>(), 0, cached.length,
                       result.output.mutable_data_ptr<float>(), &result.support};
  (dense ? cpu::attend_dense : cpu::attend_head)(call, cached, std::span(&row, 1), result.counters);
  result.output = result.output.narrow(0, 0, in.value.size(3));
  return result;
}

TEST_P(CachedCapabilityTest, HostileNumbers) {
  for (const int64_t keys : {300, 1000}) {
    for (const test::NamedCase& of : test::hostile_cases(keys, 20)) {
      const KeyValueCache cache = test::cache_of(of.inputs);
      for (const Normalizer normalizer : test::every_normalizer()) {
        SCOPED_TRACE(of.name + ", " + std::string(normalizer_name(normalizer)) + ", " + std::to_string(keys) +
                     " keys");
        const at::Tensor expected = test::expected_cached(of.inputs, {keys}, normalizer, of.scale);
        const double tolerance =
            test::cached_tolerance(of.inputs, of.scale, support_size(of.inputs, normalizer, of.scale));
        for (int64_t head = 0; head < 2; ++head) {
          const RowResult result =
              attend_row(GetParam(), of.inputs, cache, head, normalizer, of.scale, false);
          EXPECT_TRUE(tensors_close(result.output.to(at::kDouble), expected[0][head][0], tolerance));
        }
      }
    }
  }
}

// The scores have the same bits either way, so skipping may change no support; thresholds are rounded sums of
// the same numbers in another order.
TEST_P(CachedCapabilityTest, SkippingChangesNothing) {
  for (const int64_t keys : {500, 4300, 9000}) {
    for (const test::NamedCase& of : test::hostile_cases(keys, 32)) {
      const KeyValueCache cache = test::cache_of(of.inputs);
      for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
        SCOPED_TRACE(of.name + ", " + std::string(normalizer_name(normalizer)) + ", " + std::to_string(keys) +
                     " keys");
        const RowResult result = attend_row(GetParam(), of.inputs, cache, 0, normalizer, of.scale, false);
        const RowResult dense = attend_row(GetParam(), of.inputs, cache, 0, normalizer, of.scale, true);
        EXPECT_EQ(result.support.keys, dense.support.keys);
        EXPECT_TRUE(
            tensors_close(at::tensor(result.support.weights), at::tensor(dense.support.weights), 2e-7));
        EXPECT_TRUE(tensors_close(result.output, dense.output, 2e-6));
        EXPECT_EQ(result.counters.keys_visible, keys);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, CachedCapabilityTest, ::testing::ValuesIn(cpu::machine_capabilities()),
                         [](const auto& instance) { return std::string(capability_name(instance.param)); });

TEST_F(CachedAttentionTest, LengthsWidthsAndGroups) {
  for (const int64_t keys : {1, 2, 15, 63, 64, 65, 127, 128, 129, 319, 320, 700}) {
    for (const int64_t width : {1, 16, 33, 64}) {
      const CachedInputs in = test::random_cached(1, 4, 2, 1, keys, width, width + 3);
      const KeyValueCache cache = test::cache_of(in);
      for (const Normalizer normalizer : test::every_normalizer()) {
        SCOPED_TRACE(std::string(normalizer_name(normalizer)) + ", " + std::to_string(keys) +
                     " keys of width " + std::to_string(width));
        const at::Tensor result = cached_attention(in.query, cache, normalizer);
        EXPECT_TRUE(
            tensors_close(result.to(at::kDouble), test::expected_cached(in, {keys}, normalizer), 2e-5));
      }
    }
  }
}

TEST_F(CachedAttentionTest, SeveralQueriesRaggedLengthsAndWindows) {
  const std::vector<int64_t> lengths = {700, 0, 3, 64, 450};
  const at::Tensor counts = torch::tensor(lengths, at::kLong);
  for (const int64_t queries : {1, 2, 5, 8}) {
    const CachedInputs in = test::random_cached(5, 2, 1, queries, 700, 24, 16);
    const KeyValueCache cache = test::cache_of(in, counts);
    for (const std::optional<int64_t> window : {std::optional<int64_t>(), std::optional<int64_t>(1),
                                                std::optional<int64_t>(70), std::optional<int64_t>(500)}) {
      for (const Normalizer normalizer : test::every_normalizer()) {
        SCOPED_TRACE(std::string(normalizer_name(normalizer)) + ", " + std::to_string(queries) +
                     " queries, window " + std::to_string(window.value_or(0)));
        const at::Tensor result = cached_attention(in.query, cache, normalizer, 0.3, window);
        const at::Tensor expected = test::expected_cached(in, lengths, normalizer, 0.3, window);
        EXPECT_TRUE(tensors_close(result.to(at::kDouble), expected, 2e-5));
      }
    }
  }
}

TEST_F(CachedAttentionTest, SupportsAndOutputsBelongTogether) {
  const std::vector<int64_t> lengths = {900, 40, 0};
  const CachedInputs in = test::random_cached(3, 4, 2, 2, 900, 16, 16);
  const KeyValueCache cache = test::cache_of(in, torch::tensor(lengths, at::kLong));
  for (const Normalizer normalizer : test::every_normalizer()) {
    SCOPED_TRACE(normalizer_name(normalizer));
    const AttentionSupport support = cached_attention_support(in.query, cache, normalizer);
    EXPECT_TRUE(tensors_equal(support.output, cached_attention(in.query, cache, normalizer)));
    at::Tensor rebuilt = at::zeros({3 * 4 * 2, 16});
    ASSERT_EQ(support.row_offsets.numel(), 3 * 4 * 2 + 1);
    for (int64_t row = 0; row < 3 * 4 * 2; ++row) {
      const int64_t begin = support.row_offsets[row].item<int64_t>();
      const int64_t count = support.row_offsets[row + 1].item<int64_t>() - begin;
      const at::Tensor keys = support.key_indices.narrow(0, begin, count);
      if (count > 1) {
        EXPECT_TRUE(keys.diff().gt(0).all().item<bool>());
      }
      const at::Tensor weights = support.weights.narrow(0, begin, count);
      const int64_t visible = std::max<int64_t>(0, lengths[static_cast<size_t>(row / 8)] - 1 + row % 2);
      if (normalizer == Normalizer::softmax) {
        EXPECT_EQ(count, visible);
      }
      EXPECT_NEAR(weights.sum().item<double>(), visible > 0 ? 1.0 : 0.0, 1e-5);
      const at::Tensor values = in.value[row / 8][row / 2 % 4 / 2].index_select(0, keys);
      rebuilt[row] = weights.unsqueeze(1).mul(values).sum(0);
    }
    EXPECT_TRUE(tensors_close(support.output.view({24, 16}), rebuilt, 2e-6));
  }
}

TEST_F(CachedAttentionTest, ThreadsDoNotChangeBits) {
  for (const int64_t heads : {1, 4}) {
    const CachedInputs in = test::random_cached(1, heads, heads, 1, 20000, 32, 32);
    const KeyValueCache cache = test::cache_of(in);
    for (const Normalizer normalizer : test::every_normalizer()) {
      for (const double scale : {0.0005, 0.02, 0.2}) {
        SCOPED_TRACE(std::string(normalizer_name(normalizer)) + " scale " + std::to_string(scale));
        at::set_num_threads(1);
        const at::Tensor one = cached_attention(in.query, cache, normalizer, scale);
        at::set_num_threads(2);
        const at::Tensor two = cached_attention(in.query, cache, normalizer, scale);
        at::set_num_threads(3);
        const at::Tensor three = cached_attention(in.query, cache, normalizer, scale);
        at::set_num_threads(1);
        EXPECT_TRUE(tensors_equal(one, two));
        EXPECT_TRUE(tensors_equal(one, three));
      }
    }
  }
}

TEST_F(CachedAttentionTest, OneByOneIsAllAtOnce) {
  const CachedInputs in = test::random_cached(2, 2, 2, 1, 450, 16, 16);
  const KeyValueCache at_once = test::cache_of(in);
  KeyValueCache one_by_one({2, 2, 16, 16});
  for (int64_t i = 0; i < 450; ++i) one_by_one.append(in.key.narrow(2, i, 1), in.value.narrow(2, i, 1));
  for (const Normalizer normalizer : test::every_normalizer()) {
    EXPECT_TRUE(tensors_equal(cached_attention(in.query, at_once, normalizer),
                              cached_attention(in.query, one_by_one, normalizer)));
  }
}

// NaN and +inf scores spoil their row, -inf takes its key away, and values of weight 0 stay out.
TEST_F(CachedAttentionTest, NumbersThatAreNotFinite) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const int64_t keys : {10, 600}) {
    for (const Normalizer normalizer : test::every_normalizer()) {
      SCOPED_TRACE(std::string(normalizer_name(normalizer)) + ", " + std::to_string(keys) + " keys");
      CachedInputs in = test::random_cached(1, 1, 1, 1, keys, 8, 8);
      in.query.abs_();
      const auto result_with = [&](double key, double value, double query) {
        CachedInputs changed{in.query.clone(), in.key.clone(), in.value.clone()};
        changed.key.select(2, keys / 2).fill_(key);
        changed.value.select(2, keys / 2).fill_(value);
        if (query != 1.0) changed.query.select(3, 0).fill_(query);
        return cached_attention(changed.query, test::cache_of(changed), normalizer);
      };
      const double nan = std::numeric_limits<double>::quiet_NaN();
      EXPECT_TRUE(result_with(nan, 1.0, 1.0).isnan().all().item<bool>());
      EXPECT_TRUE(result_with(infinity, 1.0, 1.0).isnan().all().item<bool>());
      EXPECT_TRUE(result_with(1.0, 1.0, nan).isnan().all().item<bool>());
      EXPECT_TRUE(result_with(1.0, 1.0, infinity).isnan().all().item<bool>());
      // A score of -inf: as if the key were not there, its value included.
      const at::Tensor without = result_with(-infinity, nan, 1.0);
      const CachedInputs rest{
          in.query,
          at::cat({in.key.narrow(2, 0, keys / 2), in.key.narrow(2, keys / 2 + 1, keys - keys / 2 - 1)}, 2),
          at::cat({in.value.narrow(2, 0, keys / 2), in.value.narrow(2, keys / 2 + 1, keys - keys / 2 - 1)},
                  2)};
      EXPECT_TRUE(
          tensors_close(without, cached_attention(rest.query, test::cache_of(rest), normalizer), 2e-6));
    }
  }
}

TEST_F(CachedAttentionTest, OtherSequencesAreUntouchedByNaN) {
  CachedInputs in = test::random_cached(2, 2, 2, 1, 500, 8, 8);
  const at::Tensor before = cached_attention(in.query, test::cache_of(in), Normalizer::sparsemax);
  in.key[0].select(1, 3).fill_(std::numeric_limits<double>::quiet_NaN());
  const at::Tensor after = cached_attention(in.query, test::cache_of(in), Normalizer::sparsemax);
  EXPECT_TRUE(after[0].isnan().all().item<bool>());
  EXPECT_TRUE(tensors_equal(after[1], before[1]));
}

TEST_F(CachedAttentionTest, BallsSkipPagesAndCostNoAccuracy) {
  const std::vector<test::NamedCase> cases = test::hostile_cases(10000, 32);
  const auto topics =
      std::find_if(cases.begin(), cases.end(), [](const auto& of) { return of.name == "topics"; });
  const KeyValueCache cache = test::cache_of(topics->inputs);
  CachedAttentionCounters counters;
  cached_attention(topics->inputs.query, cache, Normalizer::sparsemax, 4 * topics->scale, {}, &counters);
  EXPECT_EQ(counters.rows, 2);
  EXPECT_EQ(counters.keys_visible, 20000);
  if (cpu::decode_functions(cpu::chosen_capability()).filter_pages == nullptr) {  // no integer products
    EXPECT_EQ(counters.pages_skipped, 0);
    EXPECT_EQ(counters.keys_coded, 0);
    return;
  }
  EXPECT_GT(counters.pages_skipped, 100);  // of 2 x 128 in full groups of pages
  EXPECT_LT(counters.keys_scored, 1000);
  // Open keys (10000 = 156 * 64 + 16) are scored in fp32, all others in 8 bits or not at all.
  EXPECT_EQ(counters.keys_coded + 64 * counters.pages_skipped + 2 * 16, counters.keys_visible);
}

TEST_F(CachedAttentionTest, SixteenBitNumbersAndEmptyShapes) {
  const CachedInputs in = test::random_cached(2, 2, 2, 1, 100, 8, 8);
  const auto half = [](const at::Tensor& tensor) { return tensor.to(at::kBFloat16); };
  const CachedInputs halves{half(in.query), half(in.key), half(in.value)};
  const at::Tensor result = cached_attention(halves.query, test::cache_of(halves), Normalizer::entmax15);
  EXPECT_EQ(result.scalar_type(), at::kBFloat16);
  const at::Tensor expected = test::expected_cached(halves, whole(in), Normalizer::entmax15);
  EXPECT_TRUE(tensors_close(result.to(at::kDouble), expected, 0.0, 0x1p-7));
  // No width: every score is an empty sum.
  const CachedInputs scoreless{torch::zeros({1, 1, 1, 0}), torch::zeros({1, 1, 300, 0}),
                               torch::ones({1, 1, 300, 2})};
  EXPECT_TRUE(
      tensors_close(cached_attention(scoreless.query, test::cache_of(scoreless), Normalizer::sparsemax),
                    torch::ones({1, 1, 1, 2}), 1e-6));
  const KeyValueCache empty({0, 2, 8, 8});
  EXPECT_EQ(cached_attention(torch::zeros({0, 4, 1, 8}), empty, Normalizer::sparsemax).sizes(),
            (std::vector<int64_t>{0, 4, 1, 8}));
}

TEST_F(CachedAttentionTest, ErrorsNameWhatCame) {
  const KeyValueCache cache({1, 2, 8, 8});
  const auto message = [&](const at::Tensor& query, std::optional<int64_t> window = {}) {
    return test::message_of([&] { cached_attention(query, cache, Normalizer::sparsemax, {}, window); });
  };
  EXPECT_NE(message(torch::zeros({1, 3, 1, 8})).find("got [1, 3, 1, 8]"), std::string::npos);
  EXPECT_NE(message(torch::zeros({1, 2, 1, 8}, at::kDouble)).find("Double"), std::string::npos);
  EXPECT_NE(message(torch::zeros({1, 2, 1, 8}), 0).find("window"), std::string::npos);
  EXPECT_NE(message(torch::zeros({1, 2, 1, 8}).set_requires_grad(true)).find("gradient"), std::string::npos);
}

}  // namespace
}  // namespace giantrabbit::ops
