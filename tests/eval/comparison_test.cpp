// Pairing of items and the sentences: a claim appears only when its test shows it.
#include "eval/comparison.h"

#include <array>

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

Comparison compare(const Evaluation& first, const Evaluation& second) {
  return compare_variants("dense", "sparse", {{&first, &second, 1}}, {});
}

TEST(ComparisonTest, CountsPairs) {
  const Evaluation dense = evaluation(10, 20, [](int index) { return index < 6; });
  const Evaluation sparse = evaluation(10, 23, [](int index) { return index >= 5; });
  const Comparison comparison = compare(dense, sparse);
  EXPECT_EQ(comparison.accuracy.seeds.at(0).pairs.both, 1);
  EXPECT_EQ(comparison.accuracy.seeds.at(0).pairs.only_first, 5);
  EXPECT_EQ(comparison.accuracy.seeds.at(0).pairs.only_second, 4);
  EXPECT_EQ(comparison.accuracy.seeds.at(0).pairs.neither, 0);
  EXPECT_NEAR(comparison.accuracy.difference, -0.1, 1e-12);
  EXPECT_LE(comparison.accuracy.interval.low, -0.1);
  EXPECT_GE(comparison.accuracy.interval.high, -0.1);
  EXPECT_EQ(comparison.first_lengths.items, 1);
  EXPECT_DOUBLE_EQ(comparison.words.mean, 3);
}

TEST(ComparisonTest, EqualRunsOnFewItemsProveNothing) {
  const Evaluation nine = evaluation(9, 20, [](int) { return true; });
  const std::vector<std::string> sentences = conclusions(compare(nine, nine));
  EXPECT_TRUE(contains(sentences[0], "No difference in accuracy between dense and sparse is shown"))
      << sentences[0];
  EXPECT_TRUE(contains(sentences[0], "no proof of equality")) << sentences[0];
  EXPECT_TRUE(contains(sentences[1], "sparse is not shown to be within 1 point of dense")) << sentences[1];
  EXPECT_TRUE(contains(sentences[2], "no difference in chain length is shown")) << sentences[2];
}

TEST(ComparisonTest, EqualRunsOnManyItemsKeepAccuracy) {
  const Evaluation many = evaluation(500, 20, [](int index) { return index % 50 != 0; });
  const std::vector<std::string> sentences = conclusions(compare(many, many));
  EXPECT_TRUE(contains(sentences[1], "sparse is shown to be within 1 point of dense")) << sentences[1];
}

TEST(ComparisonTest, ClearLossIsSaid) {
  const Evaluation dense = evaluation(200, 20, [](int) { return true; });
  const Evaluation sparse = evaluation(200, 30, [](int index) { return index % 4 != 0; });
  const std::vector<std::string> sentences = conclusions(compare(dense, sparse));
  EXPECT_TRUE(contains(sentences[0], "sparse is less accurate than dense (-25.0 points")) << sentences[0];
  EXPECT_TRUE(contains(sentences[1], "is not shown")) << sentences[1];
  EXPECT_TRUE(contains(sentences[2], "sparse writes longer chains")) << sentences[2];
}

// 6 of 22 discordant pairs on 161 items: Tango's interval excludes 0, McNemar's p is 0.0525.
TEST(ComparisonTest, TestsThatDisagreeAreReportedAsTheBorder) {
  const Evaluation dense = evaluation(161, 20, [](int index) { return index < 75; });
  const Evaluation sparse =
      evaluation(161, 20, [](int index) { return index < 59 || (index >= 75 && index < 81); });
  const std::vector<std::string> sentences = conclusions(compare(dense, sparse));
  EXPECT_TRUE(contains(sentences[0], "at the border of what can be shown")) << sentences[0];
}

TEST(ComparisonTest, NothingSolvedByBoth) {
  const Evaluation none = evaluation(3, 20, [](int) { return false; });
  const std::vector<std::string> sentences = conclusions(compare(none, none));
  EXPECT_TRUE(contains(sentences[2], "No item was solved by both")) << sentences[2];
}

TEST(ComparisonTest, RejectsDifferentItems) {
  const auto always = [](int) { return true; };
  const Evaluation three = evaluation(3, 20, always);
  EXPECT_THROW(compare(three, evaluation(4, 20, always)), std::invalid_argument);
  Evaluation other = three;
  other.items[1].problem.prompt = {"RREF", "9", ";"};
  EXPECT_THROW(compare(three, other), std::invalid_argument);
  EXPECT_THROW(compare_variants("a", "b", {}, {}), std::invalid_argument);
}

// Three seeds; seed s of `sparse` is wrong where item % 10 < lost[s], `dense` is always right.
Comparison three_seeds(const std::array<int, 3>& lost, int items,
                       const std::vector<Grouping>& groupings = {}) {
  const Evaluation dense = evaluation(items, 20, [](int) { return true; });
  std::vector<Evaluation> sparse;
  for (const int part : lost) {
    sparse.push_back(evaluation(items, 20, [part](int index) { return index % 10 >= part; }));
  }
  std::vector<EvaluationPair> pairs;
  for (size_t seed = 0; seed < 3; ++seed)
    pairs.push_back({&dense, &sparse[seed], static_cast<int64_t>(seed)});
  return compare_variants("dense", "sparse", pairs, groupings);
}

TEST(SeedComparisonTest, ShowsEverySeedAndTheirMean) {
  const Comparison comparison = three_seeds({1, 2, 3}, 200);
  EXPECT_NEAR(comparison.accuracy.difference, -0.2, 1e-12);
  ASSERT_EQ(comparison.accuracy.seeds.size(), 3U);
  EXPECT_NEAR(comparison.accuracy.seeds[2].difference(), -0.3, 1e-12);
  const std::string sentence = conclusions(comparison)[0];
  EXPECT_TRUE(contains(sentence, "sparse is less accurate than dense (-20.0 points")) << sentence;
  EXPECT_TRUE(contains(sentence, "3 seeds: -10.0 -20.0 -30.0")) << sentence;
}

// The seeds differ more than the items: the interval has to span them, far beyond what one seed would give.
TEST(SeedComparisonTest, IntervalCoversTheSpreadOfSeeds) {
  const Comparison comparison = three_seeds({0, 0, 6}, 1000);
  EXPECT_LT(comparison.accuracy.interval.low, -0.39);
  EXPECT_GE(comparison.accuracy.interval.high, 0);
  const std::string sentence = conclusions(comparison)[0];
  EXPECT_TRUE(contains(sentence, "No difference in accuracy between dense and sparse is shown")) << sentence;
}

// A bootstrap alone would call three equal seeds on 20 items proof of equality and of difference alike.
TEST(SeedComparisonTest, AgreementOnFewItemsProvesNothing) {
  EXPECT_FALSE(three_seeds({0, 0, 0}, 20).accuracy.keeps.shown());
  EXPECT_TRUE(three_seeds({0, 0, 0}, 500).accuracy.keeps.shown());
  // Every seed loses the same single item of 10: McNemar's p for one seed is 1.
  EXPECT_DOUBLE_EQ(three_seeds({1, 1, 1}, 10).accuracy.probability, 1);
}

TEST(StrataTest, HolmDecidesWhichGroupsAreClaimed) {
  // Group a: 8 of 8 lost, p = 2/256. Group b: 6 of 60 lost, p = 2/64. Group c: nothing lost.
  const Evaluation dense = evaluation(100, 20, [](int) { return true; });
  const Evaluation sparse =
      evaluation(100, 20, [](int index) { return index >= 8 && !(index >= 20 && index < 26); });
  Grouping grouping{"By family", {"a", "b", "c", "empty"}, std::vector<std::vector<size_t>>(4)};
  for (size_t item = 0; item < 100; ++item)
    grouping.membership[item < 8 ? 0 : item < 80 ? 1 : 2].push_back(item);
  const Comparison comparison = compare_variants("dense", "sparse", {{&dense, &sparse, 1}}, {grouping});
  ASSERT_EQ(comparison.strata.size(), 1U);
  const std::vector<Comparison::Stratum>& groups = comparison.strata[0].groups;
  ASSERT_EQ(groups.size(), 3U);  // the empty group is no test
  EXPECT_NEAR(groups[0].accuracy.probability, 2. / 256, 1e-12);
  EXPECT_NEAR(groups[0].accuracy.adjusted, 6. / 256, 1e-12);
  EXPECT_NEAR(groups[1].accuracy.probability, 2. / 64, 1e-12);
  EXPECT_NEAR(groups[1].accuracy.adjusted, 4. / 64, 1e-12);  // significant alone, not after correction
  const std::vector<std::string> sentences = conclusions(comparison);
  ASSERT_EQ(sentences.size(), 5U);
  EXPECT_TRUE(contains(sentences[3], "By family, a: sparse is less accurate than dense")) << sentences[3];
  EXPECT_TRUE(contains(sentences[4], "not shown in the other 2 of 3 groups")) << sentences[4];
}

// Two groupings, two pairs: one family of eight tests.
TEST(StrataTest, GroupsOfAllPairsAreCorrectedTogether) {
  const Evaluation dense = evaluation(100, 20, [](int) { return true; });
  const Evaluation sparse = evaluation(100, 20, [](int index) { return index >= 7; });
  Grouping grouping{"By size", {"a", "b"}, std::vector<std::vector<size_t>>(2)};
  for (size_t item = 0; item < 100; ++item) grouping.membership[item < 7 ? 0 : 1].push_back(item);
  Comparison once = compare_variants("dense", "sparse", {{&dense, &sparse, 1}}, {grouping, grouping});
  EXPECT_NEAR(once.strata[1].groups[0].accuracy.adjusted, 4 * 2. / 128, 1e-12);
  std::vector<Comparison> pairs(2, once);
  adjust(pairs);
  EXPECT_NEAR(pairs[0].strata[1].groups[0].accuracy.adjusted, 8 * 2. / 128, 1e-12);
  EXPECT_FALSE(contains(conclusions(pairs[0])[3], "By size, a:"));
}

TEST(ComparisonTest, KeepingAccuracyAndChainLengthAreCorrectedOverPairs) {
  const Evaluation dense = evaluation(310, 20, [](int) { return true; });
  std::vector<Comparison> comparisons(3, compare(dense, dense));
  EXPECT_TRUE(contains(conclusions(comparisons[0])[1], "is shown to be within 1 point"));
  adjust(comparisons);
  EXPECT_TRUE(contains(conclusions(comparisons[0])[1], "is not shown to be within 1 point"));

  const Evaluation six = evaluation(6, 20, [](int) { return true; });
  std::vector<Comparison> lengths(3, compare(six, evaluation(6, 23, [](int) { return true; })));
  EXPECT_TRUE(contains(conclusions(lengths[0])[2], "longer chains")) << conclusions(lengths[0])[2];
  adjust(lengths);
  EXPECT_TRUE(contains(conclusions(lengths[0])[2], "no difference in chain length is shown"));
}

TEST(ComparisonTest, OneSolvedItemShowsNoDifferenceInLength) {
  const Evaluation dense = evaluation(1, 20, [](int) { return true; });
  const Evaluation sparse = evaluation(1, 23, [](int) { return true; });
  const std::string sentence = conclusions(compare(dense, sparse))[2];
  EXPECT_TRUE(contains(sentence, "no difference in chain length is shown")) << sentence;
}

TEST(StrataTest, SeveralComparisonsAreCorrectedTogether) {
  const Evaluation dense = evaluation(100, 20, [](int) { return true; });
  const Evaluation lost_six = evaluation(100, 20, [](int index) { return index >= 6; });
  std::vector<Comparison> comparisons(3, compare(dense, lost_six));
  EXPECT_LT(comparisons[0].accuracy.adjusted, 0.05);
  adjust(comparisons);
  EXPECT_NEAR(comparisons[0].accuracy.adjusted, 3 * 2. / 64, 1e-12);
  EXPECT_FALSE(contains(conclusions(comparisons[0])[0], "less accurate"));
}

}  // namespace
}  // namespace giantrabbit::eval
