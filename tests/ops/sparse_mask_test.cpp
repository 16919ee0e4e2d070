// SparseMask: the rules written out, against loops that read like the header's sentences.
#include "ops/sparse_mask.h"

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "tests/ops/attention_cases.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test_support::tensors_equal;

bool sees(const at::Tensor& dense, int64_t i, int64_t j) { return dense[0][0][i][j].item<bool>(); }

TEST(SparseMaskTest, Smoke) { EXPECT_TRUE(SparseMask{}.dense(1, 1, 2, 3).all().item<bool>()); }

TEST(SparseMaskTest, CausalAndWindowAreAlignedToTheLastKey) {
  for (const auto& [queries, keys] :
       std::vector<std::pair<int64_t, int64_t>>{{4, 4}, {2, 5}, {5, 2}, {1, 6}}) {
    SparseMask causal;
    causal.causal = true;
    SparseMask window;
    window.window = 2;
    const at::Tensor causal_dense = causal.dense(1, 1, queries, keys);
    const at::Tensor window_dense = window.dense(1, 1, queries, keys);
    for (int64_t i = 0; i < queries; ++i) {
      for (int64_t j = 0; j < keys; ++j) {
        const int64_t diagonal = i + keys - queries;
        EXPECT_EQ(sees(causal_dense, i, j), j <= diagonal)
            << i << ' ' << j << " of " << queries << 'x' << keys;
        EXPECT_EQ(sees(window_dense, i, j), std::abs(j - diagonal) < 2) << i << ' ' << j;
      }
    }
  }
}

TEST(SparseMaskTest, KeyLengthsCutTheKeysOfEachSequence) {
  SparseMask mask;
  mask.key_lengths = torch::tensor({0, 3, 4}, torch::kLong);
  const at::Tensor dense = mask.dense(3, 2, 2, 4);
  EXPECT_EQ(dense.sizes(), (at::IntArrayRef{3, 1, 2, 4}));
  EXPECT_TRUE(tensors_equal(dense.select(1, 0).sum(-1),
                            torch::tensor({0, 0, 3, 3, 4, 4}, torch::kLong).view({3, 2})));
}

TEST(SparseMaskTest, ListsNameBlocks) {
  SparseMask mask;
  mask.row_offsets = torch::tensor({0, 1, 3}, torch::kLong);
  mask.key_indices = torch::tensor({1, 0, 2}, torch::kLong);
  mask.block_rows = 2;
  mask.block_columns = 2;
  const at::Tensor expected = torch::tensor({0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0, 1}, torch::kLong)
                                  .view({3, 5})
                                  .to(torch::kBool);
  EXPECT_TRUE(tensors_equal(mask.dense(1, 1, 3, 5)[0][0], expected));
}

TEST(SparseMaskTest, RulesIntersect) {
  SparseMask mask = SparseMask::from_dense(test::random_permitted({2, 3, 7, 9}));
  const at::Tensor listed = mask.dense(2, 3, 7, 9);
  mask.causal = true;
  SparseMask causal;
  causal.causal = true;
  EXPECT_TRUE(tensors_equal(mask.dense(2, 3, 7, 9), listed.logical_and(causal.dense(2, 3, 7, 9))));
}

TEST(SparseMaskTest, FromDenseGoesThereAndBack) {
  for (const auto& shape : std::vector<std::vector<int64_t>>{
           {6, 4}, {2, 6, 4}, {2, 3, 6, 4}, {1, 1}, {3, 0}, {0, 3}, {2, 0, 3}, {2, 3, 5, 0}}) {
    const at::Tensor permitted = test::random_permitted(shape);
    const SparseMask mask = SparseMask::from_dense(permitted);
    at::Tensor expected = permitted;
    if (shape.size() == 3) expected = expected.unsqueeze(1);
    while (expected.dim() < 4) expected = expected.unsqueeze(0);
    const auto sizes = permitted.sizes();
    const at::Tensor dense =
        mask.dense(expected.size(0), expected.size(1), sizes[sizes.size() - 2], sizes.back());
    EXPECT_TRUE(tensors_equal(dense, expected)) << permitted.sizes();
  }
}

TEST(SparseMaskTest, FromDenseReadsStridedTensors) {
  const at::Tensor permitted = test::random_permitted({4, 6}).t();
  EXPECT_TRUE(tensors_equal(SparseMask::from_dense(permitted).dense(1, 1, 6, 4)[0][0], permitted));
}

TEST(SparseMaskTest, RefusesWhatIsNotABoolMask) {
  const std::string text = test::message_of([] { SparseMask::from_dense(torch::ones({2, 3})); });
  EXPECT_NE(text.find("Float"), std::string::npos) << text;
  EXPECT_NE(text.find("[2, 3]"), std::string::npos) << text;
  EXPECT_THROW(SparseMask::from_dense(torch::ones({3}, torch::kBool)), c10::Error);
}

TEST(SparseMaskTest, DenseRefusesListsThatPointOutside) {
  const auto refusal = [](const at::Tensor& offsets, const at::Tensor& indices) {
    SparseMask mask;
    mask.row_offsets = offsets;
    mask.key_indices = indices;
    return test::message_of([&] { mask.dense(1, 1, 2, 4); });
  };
  const auto longs = [](std::vector<int64_t> numbers) { return torch::tensor(numbers, torch::kLong); };
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {refusal(longs({0, 1, 1}), longs({1000000000000})), "got 1000000000000"},
           {refusal(longs({0, 1, 1}), longs({-5})), "got -5"},
           {refusal(longs({0, 1}), longs({0})), "row_offsets needs shape [3]"},
           {refusal(longs({0, 0, 7}), longs({0})), "got 7"},
           {refusal(longs({0, 0, 1, 0, 0, 1}).view({2, 3}), longs({0, 0})), "got [2, 3]"},
           {refusal(longs({0, 1, 1}).to(torch::kInt), longs({0})), "row_offsets needs Long"},
           {refusal(longs({0, 1, 1}), longs({0}).to(torch::kInt)), "key_indices needs Long"}}) {
    EXPECT_EQ(text.rfind("SparseMask::dense: ", 0), 0U) << text;
    EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
}

}  // namespace
}  // namespace giantrabbit::ops
