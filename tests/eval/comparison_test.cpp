// Pairing of items and the sentences: a claim appears only when its test shows it.
#include "eval/comparison.h"

#include <gtest/gtest.h>

namespace giantrabbit::eval {
namespace {

// Items 0 .. count-1, right where `right` says so.
template <typename Right>
Evaluation evaluation(int count, int words, Right right) {
  Evaluation result;
  for (int index = 0; index < count; ++index) {
    Judged item;
    item.problem.prompt = {"RREF", std::to_string(index), ";"};
    item.verdict.answer_right = right(index);
    item.verdict.chain_words = words;
    result.items.push_back(std::move(item));
  }
  return result;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(ComparisonTest, CountsPairs) {
  const Evaluation dense = evaluation(10, 20, [](int index) { return index < 6; });
  const Evaluation sparse = evaluation(10, 23, [](int index) { return index >= 5; });
  const Comparison comparison = compare_runs("dense", dense, "sparse", sparse);
  EXPECT_EQ(comparison.pairs.both, 1);
  EXPECT_EQ(comparison.pairs.only_first, 5);
  EXPECT_EQ(comparison.pairs.only_second, 4);
  EXPECT_EQ(comparison.pairs.neither, 0);
  EXPECT_NEAR(comparison.difference, -0.1, 1e-12);
  EXPECT_LE(comparison.interval.low, -0.1);
  EXPECT_GE(comparison.interval.high, -0.1);
  EXPECT_EQ(comparison.first_lengths.items, 1);
  EXPECT_DOUBLE_EQ(comparison.words.mean, 3);
}

TEST(ComparisonTest, EqualRunsOnFewItemsProveNothing) {
  const Evaluation nine = evaluation(9, 20, [](int) { return true; });
  const std::vector<std::string> sentences = conclusions(compare_runs("dense", nine, "sparse", nine));
  EXPECT_TRUE(contains(sentences[0], "No difference in accuracy between dense and sparse is shown"))
      << sentences[0];
  EXPECT_TRUE(contains(sentences[0], "no proof of equality")) << sentences[0];
  EXPECT_TRUE(contains(sentences[1], "sparse is not shown to be within 1 point of dense")) << sentences[1];
  EXPECT_TRUE(contains(sentences[2], "no difference in chain length is shown")) << sentences[2];
}

TEST(ComparisonTest, EqualRunsOnManyItemsKeepAccuracy) {
  const Evaluation many = evaluation(500, 20, [](int index) { return index % 50 != 0; });
  const std::vector<std::string> sentences = conclusions(compare_runs("dense", many, "sparse", many));
  EXPECT_TRUE(contains(sentences[1], "sparse is shown to be within 1 point of dense")) << sentences[1];
}

TEST(ComparisonTest, ClearLossIsSaid) {
  const Evaluation dense = evaluation(200, 20, [](int) { return true; });
  const Evaluation sparse = evaluation(200, 30, [](int index) { return index % 4 != 0; });
  const std::vector<std::string> sentences = conclusions(compare_runs("dense", dense, "sparse", sparse));
  EXPECT_TRUE(contains(sentences[0], "sparse is less accurate than dense (-25.0 points")) << sentences[0];
  EXPECT_TRUE(contains(sentences[1], "is not shown")) << sentences[1];
  EXPECT_TRUE(contains(sentences[2], "sparse writes longer chains")) << sentences[2];
}

// 6 of 22 discordant pairs on 161 items: Tango's interval excludes 0, McNemar's p is 0.0525.
TEST(ComparisonTest, TestsThatDisagreeAreReportedAsTheBorder) {
  const Evaluation dense = evaluation(161, 20, [](int index) { return index < 75; });
  const Evaluation sparse =
      evaluation(161, 20, [](int index) { return index < 59 || (index >= 75 && index < 81); });
  const std::vector<std::string> sentences = conclusions(compare_runs("dense", dense, "sparse", sparse));
  EXPECT_TRUE(contains(sentences[0], "at the border of what can be shown")) << sentences[0];
}

TEST(ComparisonTest, NothingSolvedByBoth) {
  const Evaluation none = evaluation(3, 20, [](int) { return false; });
  const std::vector<std::string> sentences = conclusions(compare_runs("dense", none, "sparse", none));
  EXPECT_TRUE(contains(sentences[2], "No item was solved by both")) << sentences[2];
}

TEST(ComparisonTest, RejectsDifferentItems) {
  const auto always = [](int) { return true; };
  const Evaluation three = evaluation(3, 20, always);
  EXPECT_THROW(compare_runs("a", three, "b", evaluation(4, 20, always)), std::invalid_argument);
  Evaluation other = three;
  other.items[1].problem.prompt = {"RREF", "9", ";"};
  EXPECT_THROW(compare_runs("a", three, "b", other), std::invalid_argument);
}

}  // namespace
}  // namespace giantrabbit::eval
