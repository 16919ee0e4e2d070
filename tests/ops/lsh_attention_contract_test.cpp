// Corners of lsh_attention's contract: empty problems, rows that see nothing or only themselves, NaN, padding
// that holds anything, threads, dtypes, meta tensors, refused arguments.
#include <limits>

#include <gtest/gtest.h>

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include "ops/reference/lsh_attention.h"
#include "tests/ops/lsh_cases.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::attend;
using test::every_lsh_pattern;
using test::every_normalizer;
using test::lsh_inputs;
using test::LshInputs;
using test::LshSizes;
using test::message_of;
using test_support::tensors_close;
using test_support::tensors_equal;

// The result and the gradients of query, key and value for an incoming gradient of cosines.
std::vector<at::Tensor> everything(const LshInputs& in, const LshPattern& pattern, Normalizer normalizer) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : {in.query, in.key, in.value})
    leaves.push_back(input.detach().requires_grad_());
  const at::Tensor output = lsh_attention(leaves[0], leaves[1], leaves[2], in.buckets, pattern, normalizer);
  const at::Tensor grad = torch::arange(output.numel(), torch::kDouble).cos().view(output.sizes());
  std::vector<at::Tensor> all = torch::autograd::grad({output}, leaves, {grad.to(output.options())});
  all.insert(all.begin(), output.detach());
  return all;
}

TEST(LshAttentionContractTest, EmptyInputs) {
  for (const LshSizes& sizes : std::vector<LshSizes>{{0, 2, 9, 4, 4, 2},
                                                     {2, 0, 9, 4, 4, 2},
                                                     {2, 2, 0, 4, 4, 2},
                                                     {2, 2, 9, 0, 4, 2},
                                                     {2, 2, 9, 4, 0, 2}}) {
    const LshInputs in = lsh_inputs(sizes);
    for (const auto& [name, pattern] : every_lsh_pattern(sizes.batch, sizes.length)) {
      for (const Normalizer normalizer : every_normalizer()) {
        const auto all = everything(in, pattern, normalizer);
        if (sizes.length > 0) {
          const at::Tensor expected =
              reference::lsh_attention(in.query, in.key, in.value, in.buckets, pattern, normalizer);
          EXPECT_TRUE(tensors_close(all[0], expected, 1e-12)) << name;
        }
        EXPECT_EQ(all[0].sizes(), in.value.sizes());
        EXPECT_EQ(all[1].sizes(), in.query.sizes());
        EXPECT_EQ(all[3].sizes(), in.value.sizes());
      }
    }
  }
}

TEST(LshAttentionContractTest, RowsThatSeeNothingOrOnlyThemselves) {
  const LshInputs in = lsh_inputs({2, 2, 21, 4, 4, 2}, at::kFloat);
  const LshPattern alone{4, 1, 0, true, true, {}};  // position 0 comes before all others
  const LshPattern padded{4, 1, 0, false, true, torch::zeros({2, 21}, torch::kBool)};
  LshPattern one = padded;  // one valid position sees nobody else
  one.valid = torch::arange(21, torch::kLong).eq(5).expand({2, 21});
  for (const Normalizer normalizer : every_normalizer()) {
    EXPECT_TRUE(tensors_equal(attend(in, alone, normalizer).select(2, 0), in.value.select(2, 0)));
    for (const at::Tensor& tensor : everything(in, padded, normalizer))
      EXPECT_EQ(tensor.abs().sum().item<double>(), 0.0);
    const auto all = everything(in, one, normalizer);
    EXPECT_TRUE(tensors_equal(all[0], in.value * one.valid->view({2, 1, 21, 1})));
    EXPECT_EQ(all[1].abs().sum().item<double>(), 0.0) << "the weight of a single key is constant";
    EXPECT_GT(all[3].select(2, 5).abs().sum().item<double>(), 0.0);
  }
}

TEST(LshAttentionContractTest, PaddingMayHoldAnything) {
  const LshPattern pattern{4, 1, 1, false, true, test::lsh_valid(2, 33)};
  const at::Tensor padding = pattern.valid->logical_not().view({2, 1, 33, 1});
  for (const Normalizer normalizer : every_normalizer()) {
    LshInputs in = lsh_inputs({2, 2, 33, 4, 4, 2}, at::kFloat);
    const auto clean = everything(in, pattern, normalizer);
    for (at::Tensor* tensor : {&in.query, &in.key, &in.value})
      *tensor = tensor->masked_fill(padding, std::nan(""));
    const auto spoilt = everything(in, pattern, normalizer);
    for (size_t i = 0; i < clean.size(); ++i) EXPECT_TRUE(tensors_equal(spoilt[i], clean[i]));
  }
}

// A query, a key and a value are spoilt. Rows that see neither, and keys that no spoilt row sees, though they
// share its chunks, must not notice.
TEST(LshAttentionContractTest, NanStaysInItsRow) {
  const LshPattern pattern{8, 1, 0, true, true, {}};
  for (const Normalizer normalizer : every_normalizer()) {
    SCOPED_TRACE(normalizer_name(normalizer));
    LshInputs in = lsh_inputs({1, 1, 2000, 4, 4, 2}, at::kFloat);
    const at::Tensor seen =
        reference::lsh_permitted(reference::lsh_counts(in.buckets, pattern), pattern)[0][0];
    const auto clean = everything(in, pattern, normalizer);
    in.query = in.query.clone();
    in.key = in.key.clone();
    in.value = in.value.clone();
    in.query[0][0][1500][2] = std::nan("");
    in.key[0][0][1000].fill_(std::nan(""));
    in.value[0][0][1040].fill_(std::numeric_limits<float>::infinity());
    const auto spoilt = everything(in, pattern, normalizer);
    at::Tensor rows = seen.select(1, 1000).logical_or(seen.select(1, 1040));
    rows[1500] = true;
    const at::Tensor keys = seen.logical_and(rows.unsqueeze(1)).any(0);
    ASSERT_GT(rows.logical_not().sum().item<int64_t>(), 20);
    ASSERT_GT(keys.logical_not().sum().item<int64_t>(), 5);
    EXPECT_TRUE(spoilt[0][0][0][1500].isnan().all().item<bool>());
    EXPECT_TRUE(spoilt[0][0][0].index({seen.select(1, 1000)}).isnan().all().item<bool>());
    const auto kept = [&](const at::Tensor& tensor, const at::Tensor& touched) {
      return tensor[0][0].index({touched.logical_not()});
    };
    EXPECT_TRUE(tensors_close(kept(spoilt[0], rows), kept(clean[0], rows), 1e-6));
    EXPECT_TRUE(tensors_close(kept(spoilt[1], rows), kept(clean[1], rows), 1e-5));
    EXPECT_TRUE(tensors_close(kept(spoilt[2], keys), kept(clean[2], keys), 1e-5));
    EXPECT_TRUE(tensors_close(kept(spoilt[3], keys), kept(clean[3], keys), 1e-5));
  }
}

TEST(LshAttentionContractTest, SameBitsForAnyNumberOfThreads) {
  const int threads = at::get_num_threads();
  for (const int64_t heads : {1, 3}) {  // threads share a head, or take one each
    const LshInputs random = lsh_inputs({1, heads, 1500, 16, 16, 2}, at::kFloat);
    const LshHashing hashing = LshHashing::random(heads, 16, 2, {16}, 3);
    for (const Normalizer normalizer : every_normalizer()) {
      std::vector<std::vector<at::Tensor>> results;
      for (const int count : {1, 2, 3}) {
        at::set_num_threads(count);
        LshInputs in = random;
        in.buckets = lsh_buckets(in.query, hashing);
        results.push_back(everything(in, {32, 1, 1, true, true, {}}, normalizer));
        results.back().push_back(in.buckets);
      }
      at::set_num_threads(threads);
      for (size_t i = 0; i < results[0].size(); ++i) {
        EXPECT_TRUE(tensors_equal(results[1][i], results[0][i]));
        EXPECT_TRUE(tensors_equal(results[2][i], results[0][i]));
      }
    }
  }
}

TEST(LshAttentionContractTest, SixteenBits) {
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    const LshInputs in = lsh_inputs({1, 2, 40, 8, 8, 2}, dtype);
    const LshPattern pattern{8, 1, 0, true, true, {}};
    for (const Normalizer normalizer : every_normalizer()) {
      const auto actual = everything(in, pattern, normalizer);
      const auto wide = everything(in.to(at::kFloat), pattern, normalizer);
      for (size_t i = 0; i < actual.size(); ++i) {
        EXPECT_EQ(actual[i].scalar_type(), dtype);
        // fp32 inside: the result is rounded once, gradients start from a rounded gradient.
        EXPECT_TRUE(tensors_close(actual[i].to(at::kFloat), wide[i], 2e-2, 0x1p-8));
      }
    }
  }
}

TEST(LshAttentionContractTest, AutocastCastsAttentionButNotTheHash) {
  const LshInputs in = lsh_inputs({1, 2, 24, 8, 8, 2}, at::kFloat);
  const LshHashing hashing = LshHashing::random(2, 8, 2, {4}, 3);
  const at::Tensor buckets = lsh_buckets(in.query, hashing);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const at::Tensor cast = attend(in, {}, Normalizer::softmax);
  const at::Tensor cast_buckets = lsh_buckets(in.query, hashing);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
  EXPECT_EQ(cast.scalar_type(), at::autocast::get_autocast_dtype(at::kCPU));
  EXPECT_TRUE(tensors_equal(cast, attend(in.to(cast.scalar_type()), {}, Normalizer::softmax)));
  EXPECT_TRUE(tensors_equal(cast_buckets, buckets));
}

TEST(LshAttentionContractTest, MetaTensorsHaveTheShapes) {
  const LshInputs in = lsh_inputs({2, 3, 20, 8, 5, 2}, at::kFloat);
  const auto meta = [](const at::Tensor& tensor) { return tensor.to(at::kMeta); };
  const LshInputs shapes{meta(in.query), meta(in.key), meta(in.value), meta(in.buckets)};
  for (const Normalizer normalizer : every_normalizer()) {
    const auto all = everything(shapes, {}, normalizer);
    EXPECT_EQ(all[0].sizes(), (at::IntArrayRef{2, 3, 20, 5}));
    EXPECT_EQ(all[1].sizes(), in.query.sizes());
    EXPECT_EQ(all[3].sizes(), in.value.sizes());
    EXPECT_TRUE(all[0].is_meta());
  }
  const LshHashing hashing = LshHashing::random(3, 8, 4, {6, 2}, 1);
  EXPECT_EQ(lsh_buckets(shapes.query, {meta(hashing.rotations), hashing.bucket_counts}).sizes(),
            (at::IntArrayRef{2, 3, 4, 20}));
}

class LshRefusals : public ::testing::Test {
 protected:
  template <class Function>
  void expect_refused(const Function& call, const std::vector<std::string>& parts) {
    const std::string text = message_of(call);
    for (const std::string& part : parts)
      EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
  LshInputs in_ = lsh_inputs({2, 2, 9, 4, 4, 2}, at::kFloat);
};

TEST_F(LshRefusals, OfAttention) {
  const auto attend_with = [&](const LshPattern& pattern) { attend(in_, pattern, Normalizer::softmax); };
  expect_refused(
      [&] {
        attend_with({0, 1, 0, false, true, {}});
      },
      {"lsh_attention: ", "chunk_length", "got 0"});
  expect_refused([&] { attend_with({4, -1, 0, false, true, {}}); }, {"chunks_before", "-1"});
  expect_refused(
      [&] {
        attend_with({4, 1, 0, false, true, torch::ones({2, 8}, torch::kBool)});
      },
      {"lsh_attention: ", "valid", "[2, 9]", "[2, 8]"});
  expect_refused(
      [&] {
        attend_with({4, 1, 0, false, true, torch::ones({2, 9})});
      },
      {"valid", "Bool", "Float"});
  const auto attend_to = [&](const at::Tensor& key, const at::Tensor& buckets) {
    lsh_attention(in_.query, key, in_.value, buckets, {});
  };
  expect_refused([&] { attend_to(in_.key.narrow(2, 0, 5), in_.buckets); }, {"equal lengths", "[2, 2, 5, 4]"});
  expect_refused([&] { attend_to(in_.key.to(at::kDouble), in_.buckets); }, {"lsh_attention: ", "Double"});
  expect_refused([&] { attend_to(in_.key, in_.buckets.narrow(3, 0, 8)); },
                 {"buckets", "[2, 2, rounds, 9]", "8]"});
  expect_refused([&] { attend_to(in_.key, in_.buckets.narrow(2, 0, 0)); }, {"buckets", "[2, 2, 0, 9]"});
  expect_refused([&] { attend_to(in_.key, in_.buckets.to(at::kInt)); }, {"buckets", "Long", "Int"});
}

TEST_F(LshRefusals, OfHashing) {
  const at::Tensor rotations = LshHashing::random(2, 4, 3, {4}, 1).rotations;
  const auto hash_with = [&](const at::Tensor& turns, std::vector<int64_t> counts) {
    lsh_buckets(in_.query, {turns, std::move(counts)});
  };
  expect_refused([&] { hash_with(rotations, {3}); }, {"lsh_buckets: ", "even", "[3]"});
  expect_refused([&] { hash_with(rotations, {}); }, {"even", "[]"});
  expect_refused([&] { hash_with(rotations, {4, 2}); }, {"rotations", "rounds, 3]", "[2, 4, 3, 2]"});
  expect_refused([&] { hash_with(rotations.narrow(1, 0, 3), {4}); }, {"rotations", "[2, 3, 3, 2]"});
  expect_refused([&] { lsh_buckets(in_.query[0], {rotations, {4}}); }, {"4 dimensions", "[2, 9, 4]"});
  expect_refused([&] { lsh_buckets(in_.query.to(at::kLong), {rotations, {4}}); }, {"lsh_buckets: ", "Long"});
}

}  // namespace
}  // namespace giantrabbit::ops
