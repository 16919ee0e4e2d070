// Recall and error arithmetic of compared patterns on matrices that can be counted by hand.
#include "eval/pattern_match.h"

#include <cmath>

#include <gtest/gtest.h>

namespace giantrabbit::eval {
namespace {

torch::Tensor rows(const std::vector<std::vector<float>>& numbers) {
  std::vector<torch::Tensor> list;
  for (const auto& row : numbers) list.push_back(torch::tensor(row));
  return torch::stack(list);
}

TEST(PatternMatchTest, SupportOfSparseWeightsIsEveryKeyWithAWeight) {
  const torch::Tensor weights = rows({{0, 0, 0}, {0.5, 0, 0.5}, {0, 1, 0}});
  EXPECT_TRUE(true_support(weights, 1).equal(rows({{0, 0, 0}, {1, 0, 1}, {0, 1, 0}}).to(torch::kBool)));
}

// 0.5 + 0.25 = 0.75 is less than 0.9, so the third key is needed; 0.5 alone holds half, and no more is
// needed.
TEST(PatternMatchTest, SupportOfSoftmaxIsTheFewestHeaviestKeys) {
  const torch::Tensor weights = rows({{0.0625, 0.5, 0.1875, 0.25}, {0, 0, 0, 0}});
  EXPECT_TRUE(true_support(weights, 0.9).equal(rows({{0, 1, 1, 1}, {0, 0, 0, 0}}).to(torch::kBool)));
  EXPECT_TRUE(true_support(weights, 0.5).equal(rows({{0, 1, 0, 0}, {0, 0, 0, 0}}).to(torch::kBool)));
}

TEST(PatternMatchTest, MeansOverTheQueriesThatHaveKeys) {
  const torch::Tensor weights = rows({{0, 0, 0, 0}, {0.25, 0.75, 0, 0}, {0.5, 0.25, 0.25, 0}});
  const torch::Tensor visible = rows({{1, 1, 1, 1}, {0, 1, 0, 1}, {1, 0, 1, 0}}).to(torch::kBool);
  PatternMatch match;
  add_match(match, weights, true_support(weights, 1), visible);
  EXPECT_EQ(match.queries, 2);
  EXPECT_DOUBLE_EQ(match.mean(&PatternMatch::keys), 2);
  EXPECT_DOUBLE_EQ(match.mean(&PatternMatch::recall), (1.0 / 2 + 2.0 / 3) / 2);
  EXPECT_DOUBLE_EQ(match.mean(&PatternMatch::mass), (0.75 + 0.75) / 2);
  add_match(match, weights, true_support(weights, 1), torch::ones({3, 4}, torch::kBool));
  EXPECT_EQ(match.queries, 4);
  EXPECT_DOUBLE_EQ(match.mean(&PatternMatch::mass), (0.75 + 0.75 + 1 + 1) / 4);
}

TEST(PatternMatchTest, ErrorIsRelativeOverEverything) {
  RelativeError error;
  EXPECT_EQ(error.value(), 0);
  error.add(rows({{3, 0}}), rows({{0, 0}}));   // off by 3
  error.add(rows({{1, 10}}), rows({{1, 6}}));  // off by 4
  EXPECT_DOUBLE_EQ(error.value(), 5 / std::sqrt(1.0 + 36.0));
}

}  // namespace
}  // namespace giantrabbit::eval
