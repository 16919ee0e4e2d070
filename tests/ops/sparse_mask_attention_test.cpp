// sparse_mask_attention forward: against the reference in double for every normalizer and mask, the golden
// file, and the contract's corners (empty, strided, fully masked, not finite, refused arguments).
//
// Tolerances. Scores of these inputs stay below 20, so fp32 scores err by about 20 * d * 2^-24 < 1e-5 in the
// worst case and weights (Lipschitz constant at most 1) as much; results are means of values below 5: 5e-5 is
// a bound, not a fit. bf16 inputs are exact in the reference, only the result is rounded, to 2^-8 relative.
#include "ops/reference/sparse_mask_attention.h"

#include <gtest/gtest.h>

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include "ops/attention_call.h"
#include "tests/ops/attention_cases.h"
#include "tests/support/golden.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::attend;
using test::every_mask;
using test::every_normalizer;
using test::expected_for;
using test::Inputs;
using test::random_inputs;
using test::Sizes;
using test_support::golden_tensor;
using test_support::tensors_close;
using test_support::tensors_equal;

void expect_reference(const Inputs& in, const SparseMask& mask, Normalizer normalizer,
                      const std::string& label) {
  SCOPED_TRACE(label + " " + std::string(normalizer_name(normalizer)) + ", seed " +
               std::to_string(test::kSeed));
  const at::Tensor expected = expected_for(in, mask, normalizer);
  const at::ScalarType dtype = in.query.scalar_type();
  const at::Tensor actual = attend(in, mask, normalizer);
  EXPECT_EQ(actual.scalar_type(), dtype);
  const double absolute = dtype == at::kDouble ? 1e-9 : 5e-5;
  const double relative = dtype == at::kBFloat16 ? 0x1p-8 : dtype == at::kHalf ? 0x1p-11 : 0.0;
  EXPECT_TRUE(tensors_close(actual.to(at::kDouble), expected, absolute, relative));
}

TEST(SparseMaskAttentionTest, Smoke) {
  const Inputs in = random_inputs({});
  const at::Tensor expected = at::scaled_dot_product_attention(in.query, in.key, in.value);
  EXPECT_TRUE(tensors_close(attend(in, {}, Normalizer::softmax), expected, 1e-12));
}

TEST(SparseMaskAttentionTest, MatchesReference) {
  const std::vector<std::pair<int64_t, int64_t>> lengths = {
      {1, 1}, {5, 5}, {31, 31}, {33, 33}, {80, 80}, {130, 130}, {1, 64}, {5, 31}, {80, 16}, {33, 130}};
  for (const auto& [queries, keys] : lengths) {
    const Sizes sizes{2, 2, 2, queries, keys, 13, 10};
    for (const auto dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
      const Inputs in = random_inputs(sizes, dtype);
      for (const auto& [name, mask] : every_mask(sizes)) {
        for (const Normalizer normalizer : every_normalizer()) {
          expect_reference(in, mask, normalizer,
                           name + " " + std::to_string(queries) + "x" + std::to_string(keys));
        }
      }
    }
  }
}

TEST(SparseMaskAttentionTest, MatchesReferenceForHalf) {
  const Sizes sizes{1, 2, 2, 33, 33, 16, 16};
  for (const Normalizer normalizer : every_normalizer()) {
    expect_reference(random_inputs(sizes, at::kHalf), {}, normalizer, "half");
  }
}

TEST(SparseMaskAttentionTest, ManyKeysUseSmallBlocks) {
  const Sizes sizes{1, 1, 1, 30, 4200, 8, 8};
  SparseMask causal;
  causal.causal = true;
  for (const Normalizer normalizer : every_normalizer()) {
    expect_reference(random_inputs(sizes, at::kFloat), causal, normalizer, "4200 keys");
  }
}

// Scores as products of heads; rows of one matrix stand for a batch and a head of one.
Inputs golden_inputs(const nlohmann::json& inputs) {
  const auto heads = [&](const char* name) { return golden_tensor(inputs[name]).unsqueeze(0).unsqueeze(0); };
  return {heads("Q"), heads("K"), heads("V")};
}

at::Tensor golden_heads(const nlohmann::json& inputs, const char* weight, int64_t heads) {
  const at::Tensor projected = golden_tensor(inputs["X"]).matmul(golden_tensor(inputs[weight]));
  return projected.unflatten(1, {heads, -1}).transpose(0, 1).unsqueeze(0);
}

SparseMask golden_mask(const nlohmann::json& inputs) {
  for (const char* name : {"mask", "sparsity_mask"}) {
    if (inputs.contains(name)) return SparseMask::from_dense(golden_tensor(inputs[name]).to(at::kBool));
  }
  return {};
}

TEST(SparseMaskAttentionTest, MatchesGolden) {
  int64_t checked = 0;
  const nlohmann::json golden = test_support::load_golden("chapter3_golden.json");
  for (const nlohmann::json& item : golden["cases"]) {
    const nlohmann::json& inputs = item["inputs"];
    SCOPED_TRACE(item["id"].get<std::string>());
    const int exercise = item["exercise"].get<int>();
    if (exercise == 2 && inputs.contains("X")) {
      const Inputs in{golden_heads(inputs, "W_Q", 1), golden_heads(inputs, "W_K", 1),
                      golden_heads(inputs, "W_V", 1)};
      const at::Tensor actual = attend(in, golden_mask(inputs), Normalizer::softmax)[0][0];
      EXPECT_TRUE(tensors_close(actual, golden_tensor(item["expected"]["output"]), 1e-12));
      ++checked;
    } else if (exercise == 3) {
      const int64_t heads = item["params"]["n_heads"].get<int64_t>();
      const Normalizer normalizer = parse_normalizer(item["params"]["normaliser"].get<std::string>());
      const Inputs in{golden_heads(inputs, "W_Q", heads), golden_heads(inputs, "W_K", heads),
                      golden_heads(inputs, "W_V", heads)};
      const at::Tensor joined = attend(in, golden_mask(inputs), normalizer)[0].transpose(0, 1).flatten(1);
      EXPECT_TRUE(tensors_close(joined, golden_tensor(item["expected"]["concatenated"]), 1e-12));
      EXPECT_TRUE(tensors_close(joined.matmul(golden_tensor(inputs["W_O"])),
                                golden_tensor(item["expected"]["output"]), 1e-12));
      ++checked;
    } else if (exercise == 2 || exercise == 4) {
      const at::Tensor actual = attend(golden_inputs(inputs), golden_mask(inputs), Normalizer::softmax)[0][0];
      EXPECT_TRUE(tensors_close(actual, golden_tensor(item["expected"]["output"]), 1e-12));
      ++checked;
    }
  }
  EXPECT_EQ(checked, 16);
}

TEST(SparseMaskAttentionTest, MaskedKeysHaveNoWeightWhereTheSourceMultipliedScoresByTheMask) {
  int64_t different = 0;
  const nlohmann::json golden = test_support::load_golden("chapter3_golden.json");
  for (const nlohmann::json& item : golden["cases"]) {
    if (item["exercise"].get<int>() != 4) continue;
    SCOPED_TRACE(item["id"].get<std::string>());
    const Inputs in = golden_inputs(item["inputs"]);
    const SparseMask mask = golden_mask(item["inputs"]);
    const at::Tensor sparse = attend(in, mask, Normalizer::sparsemax)[0][0];
    EXPECT_TRUE(tensors_close(sparse, golden_tensor(item["expected_sparsemax"]["output"]), 1e-12));
    // The weights themselves: attention over unit vectors.
    const Inputs marks{in.query, in.key, torch::eye(in.key.size(2), at::kDouble).unsqueeze(0).unsqueeze(0)};
    const at::Tensor weights = attend(marks, mask, Normalizer::softmax)[0][0];
    EXPECT_TRUE(tensors_close(weights, golden_tensor(item["expected"]["weights"]), 1e-12));
    const at::Tensor permitted = mask.dense(1, 1, in.query.size(2), in.key.size(2))[0][0];
    EXPECT_EQ(weights.masked_fill(permitted, 0.0).abs().max().item<double>(), 0.0);
    if (permitted.all().item<bool>()) continue;
    EXPECT_FALSE(tensors_close(weights, golden_tensor(item["seed_as_written"]["weights"]), 1e-3));
    ++different;
  }
  EXPECT_EQ(different, 6);
}

TEST(SparseMaskAttentionTest, GroupedHeads) {
  for (const int64_t key_heads : {1, 2, 6}) {
    const Sizes sizes{2, 6, key_heads, 33, 40, 8, 8};
    for (const auto& [name, mask] : every_mask(sizes)) {
      expect_reference(random_inputs(sizes, at::kFloat), mask, Normalizer::sparsemax, name);
    }
  }
}

TEST(SparseMaskAttentionTest, StridedInputs) {
  const Sizes sizes{2, 3, 3, 20, 20, 8, 8};
  const Inputs in = random_inputs(sizes, at::kFloat);
  const at::Tensor expected = attend(in, {}, Normalizer::sparsemax);
  const auto transposed = [](const at::Tensor& x) { return x.transpose(1, 2).contiguous().transpose(1, 2); };
  const at::Tensor actual =
      attend({transposed(in.query), transposed(in.key), transposed(in.value)}, {}, Normalizer::sparsemax);
  EXPECT_TRUE(tensors_equal(actual, expected));
  EXPECT_TRUE(actual.transpose(1, 2).is_contiguous()) << "the result follows the query's memory order";
  // One packed projection, as models have it, and a last dimension that is not contiguous.
  const at::Tensor packed = torch::stack({in.query, in.key, in.value}, 3).transpose(1, 2).contiguous();
  const auto part = [&](int64_t i) { return packed.select(3, i).transpose(1, 2); };
  EXPECT_TRUE(tensors_equal(attend({part(0), part(1), part(2)}, {}, Normalizer::sparsemax), expected));
  const auto turned = [](const at::Tensor& x) { return x.transpose(2, 3).contiguous().transpose(2, 3); };
  EXPECT_TRUE(tensors_equal(
      attend({turned(in.query), turned(in.key), turned(in.value)}, {}, Normalizer::sparsemax), expected));
  const at::Tensor shared = in.query.narrow(1, 0, 1).expand_as(in.query);
  EXPECT_TRUE(tensors_equal(attend({shared, in.key, in.value}, {}, Normalizer::sparsemax),
                            attend({shared.contiguous(), in.key, in.value}, {}, Normalizer::sparsemax)));
}

TEST(SparseMaskAttentionTest, EqualKeysGetEqualWeights) {
  Inputs in = random_inputs({1, 1, 1, 3, 37, 5, 37}, at::kFloat);
  in.key.copy_(in.key.narrow(2, 0, 1).expand_as(in.key).clone());
  in.value.copy_(torch::eye(37).unsqueeze(0).unsqueeze(0));
  for (const Normalizer normalizer : every_normalizer()) {
    const at::Tensor weights = attend(in, {}, normalizer)[0][0];
    EXPECT_TRUE(tensors_equal(weights, weights.narrow(1, 0, 1).expand_as(weights)));
  }
}

TEST(SparseMaskAttentionTest, ThreadCountsGiveEqualBits) {
  const int before = at::get_num_threads();
  for (const Sizes& sizes : std::vector<Sizes>{{1, 1, 1, 130, 130, 16, 16}, {3, 4, 2, 70, 50, 16, 16}}) {
    const Inputs in = random_inputs(sizes, at::kFloat);
    for (const auto& [name, mask] : every_mask(sizes)) {
      at::set_num_threads(1);
      const at::Tensor expected = attend(in, mask, Normalizer::softmax);
      for (const int threads : {2, 3, 5}) {
        at::set_num_threads(threads);
        EXPECT_TRUE(tensors_equal(attend(in, mask, Normalizer::softmax), expected)) << name << ' ' << threads;
      }
    }
  }
  at::set_num_threads(before);
}

TEST(SparseMaskAttentionTest, SupportMatchesDenseWeights) {
  const Sizes sizes{2, 4, 2, 27, 35, 8, 8};
  const Inputs in = random_inputs(sizes);
  for (const auto& [name, mask] : every_mask(sizes)) {
    for (const Normalizer normalizer : every_normalizer()) {
      SCOPED_TRACE(name + " " + std::string(normalizer_name(normalizer)));
      const AttentionSupport support =
          sparse_mask_attention_support(in.query, in.key, in.value, mask, normalizer);
      EXPECT_TRUE(tensors_equal(support.output, attend(in, mask, normalizer)));
      const at::Tensor dense = reference::attention_weights(in.query, in.key, mask, normalizer).flatten(0, 2);
      ASSERT_EQ(support.row_offsets.numel(), dense.size(0) + 1);
      const at::Tensor counts = support.row_offsets.diff();
      const at::Tensor rows = torch::repeat_interleave(torch::arange(dense.size(0)), counts);
      at::Tensor rebuilt = torch::zeros_like(dense);
      rebuilt.index_put_({rows, support.key_indices}, support.weights);
      EXPECT_TRUE(tensors_close(rebuilt, dense, 1e-9));
      const at::Tensor permitted = mask.dense(2, 4, 27, 35).expand({2, 4, 27, 35}).flatten(0, 2);
      const at::Tensor expected_counts =
          normalizer == Normalizer::softmax ? permitted.sum(-1) : dense.gt(0).sum(-1);
      EXPECT_TRUE(tensors_equal(counts, expected_counts));
      const at::Tensor flat = rows * 35 + support.key_indices;
      EXPECT_TRUE(flat.numel() < 2 || flat.diff().gt(0).all().item<bool>()) << "keys rise within a row";
    }
  }
}

TEST(SparseMaskAttentionTest, SupportSumsToOne) {
  const Inputs in = random_inputs({1, 2, 2, 40, 40, 8, 8}, at::kBFloat16);
  for (const Normalizer normalizer : every_normalizer()) {
    const AttentionSupport support =
        sparse_mask_attention_support(in.query, in.key, in.value, {}, normalizer);
    EXPECT_EQ(support.weights.scalar_type(), at::kFloat);
    const at::Tensor sums = torch::segment_reduce(support.weights, "sum", support.row_offsets.diff());
    EXPECT_TRUE(tensors_close(sums, torch::ones({80}), 1e-5));
  }
}

TEST(SparseMaskAttentionTest, SoftmaxSupportKeepsKeysWhoseWeightVanishes) {
  Inputs in = random_inputs({1, 1, 1, 1, 3, 1, 1}, at::kFloat);
  in.query.fill_(1.0);
  in.key.copy_(torch::tensor({0.0F, 500.0F, 0.0F}).view({3, 1}));
  const AttentionSupport support =
      sparse_mask_attention_support(in.query, in.key, in.value, {}, Normalizer::softmax);
  EXPECT_TRUE(tensors_equal(support.weights, torch::tensor({0.0F, 1.0F, 0.0F})));
}

TEST(SparseMaskAttentionTest, MetaShapes) {
  const Inputs in = random_inputs({2, 4, 2, 7, 9, 8, 5}, at::kBFloat16);
  const auto meta = [](const at::Tensor& x) { return x.to(at::kMeta); };
  const at::Tensor actual = attend({meta(in.query), meta(in.key), meta(in.value)}, {}, Normalizer::sparsemax);
  EXPECT_EQ(actual.sizes(), (at::IntArrayRef{2, 4, 7, 5}));
  EXPECT_EQ(actual.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(actual.is_meta());
  EXPECT_THROW(
      attend({meta(in.query), meta(in.key), meta(in.value).narrow(2, 0, 3)}, {}, Normalizer::sparsemax),
      c10::Error);
}

TEST(SparseMaskAttentionTest, Autocast) {
  const Inputs in = random_inputs({2, 2, 2, 9, 9, 8, 8}, at::kFloat);
  const at::Tensor expected = attend(in.to(at::kBFloat16), {}, Normalizer::sparsemax);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const at::Tensor actual = attend(in, {}, Normalizer::sparsemax);
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_TRUE(tensors_equal(actual, expected));
}

}  // namespace
}  // namespace giantrabbit::ops
