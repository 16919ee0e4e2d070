// Figures counted from hand-made verdicts.
#include "eval/metrics.h"

#include <gtest/gtest.h>

#include "data/item_file.h"

namespace giantrabbit::eval {
namespace {

data::StepVerdict step(bool valid, bool as_reference = false) {
  data::StepVerdict verdict;
  verdict.valid = valid;
  verdict.as_reference = as_reference;
  return verdict;
}

Judged judged(const std::string& prompt, bool right, std::vector<data::StepVerdict> steps,
              data::ErrorClass error) {
  Judged item;
  item.problem = data::parse_problem(prompt);
  item.verdict.answer_right = right;
  item.verdict.finished = error != data::ErrorClass::truncated;
  item.verdict.chain_valid = right && error == data::ErrorClass::none;
  item.verdict.error = error;
  item.verdict.steps = std::move(steps);
  item.verdict.chain_words = 10 * static_cast<int>(item.verdict.steps.size());
  item.verdict.reference_chain_words = 20;
  return item;
}

Evaluation four_items() {
  Evaluation evaluation;
  evaluation.items.push_back(
      judged("RREF 1 2 ; 3 4 ; 5 6", true, {step(true, true), step(true)}, data::ErrorClass::none));
  evaluation.items.push_back(
      judged("RREF 1 2 3 ; 4 5 7", true, {step(true), step(false)}, data::ErrorClass::arithmetic));
  evaluation.items.push_back(judged("RREF 1 1/2 3 ; 4 5 7", false, {}, data::ErrorClass::truncated));
  evaluation.items.push_back(
      judged("RREF 1 2 ; 3 40 ; 5 10", false, {step(false)}, data::ErrorClass::format));
  return evaluation;
}

TEST(MetricsTest, CountsVerdicts) {
  const Evaluation evaluation = four_items();
  const Metrics metrics = measure(view(evaluation));
  EXPECT_EQ(metrics.exact.count, 2);
  EXPECT_EQ(metrics.exact.total, 4);
  EXPECT_DOUBLE_EQ(evaluation.exact(), 0.5);
  EXPECT_EQ(metrics.chain_valid.count, 1);
  EXPECT_DOUBLE_EQ(evaluation.chain_valid(), 0.25);
  EXPECT_EQ(metrics.steps_valid.count, 3);
  EXPECT_EQ(metrics.steps_valid.total, 5);
  EXPECT_EQ(metrics.steps_as_reference.count, 1);
  EXPECT_EQ(metrics.trace_error.count, 1);  // one of the two right answers has a faulty chain
  EXPECT_EQ(metrics.trace_error.total, 2);
  EXPECT_EQ(metrics.truncated.count, 1);
  EXPECT_EQ(metrics.errors[static_cast<size_t>(data::ErrorClass::none)], 1);
  EXPECT_EQ(metrics.errors[static_cast<size_t>(data::ErrorClass::arithmetic)], 1);
  EXPECT_EQ(metrics.errors[static_cast<size_t>(data::ErrorClass::truncated)], 1);
  EXPECT_EQ(metrics.errors[static_cast<size_t>(data::ErrorClass::format)], 1);
  EXPECT_EQ(metrics.errors[static_cast<size_t>(data::ErrorClass::stale_row)], 0);
}

TEST(MetricsTest, LengthsAreMeansAgainstTheReference) {
  const Lengths lengths = measure_lengths(view(four_items()));
  EXPECT_EQ(lengths.items, 4);
  EXPECT_DOUBLE_EQ(lengths.words, (20 + 20 + 0 + 10) / 4.0);
  EXPECT_DOUBLE_EQ(lengths.reference_words, 20);
  EXPECT_DOUBLE_EQ(lengths.steps, 5 / 4.0);
  EXPECT_DOUBLE_EQ(lengths.ratio(), 12.5 / 20);
}

TEST(MetricsTest, NoItemsGiveEmptyShares) {
  const Metrics metrics = measure({});
  EXPECT_EQ(metrics.exact.total, 0);
  EXPECT_EQ(metrics.exact.rate(), 0);
  EXPECT_EQ(metrics.exact.interval.high, 1);
  EXPECT_EQ(metrics.lengths.ratio(), 0);
  EXPECT_EQ(Evaluation().exact(), 0);
}

TEST(GroupingTest, SizesFollowThePrompt) {
  const Evaluation evaluation = four_items();
  const Grouping sizes = by_size(evaluation.items);
  ASSERT_EQ(sizes.groups, (std::vector<std::string>{"2x3", "3x2"}));
  EXPECT_EQ(sizes.membership[0], (std::vector<size_t>{1, 2}));  // a fraction is one entry
  EXPECT_EQ(sizes.membership[1], (std::vector<size_t>{0, 3}));
}

TEST(GroupingTest, AListOfNumbersIsNoMatrix) {
  std::vector<Judged> items(2);
  items[0].problem.prompt = {"FACT_COUNT", "3", "5", "3", ";"};
  items[1].problem.prompt = {"SOLSET", "2", ";", "4", "0", "0", ";"};
  EXPECT_TRUE(by_size(items).groups.empty());
}

TEST(GroupingTest, SubsetsFollowTheReference) {
  const Evaluation evaluation = four_items();
  const Grouping subsets = by_subset(evaluation.items);
  const auto members = [&](const std::string& group) {
    const auto found = std::ranges::find(subsets.groups, group);
    return subsets.membership.at(static_cast<size_t>(found - subsets.groups.begin()));
  };
  EXPECT_EQ(members("without fraction").size() + members("with fraction").size(), 4U);
  EXPECT_TRUE(std::ranges::count(members("with fraction"), 2U));
  EXPECT_EQ(members("a number above 30"), (std::vector<size_t>{3}));
  for (const size_t item : members("at least 6 operations")) {
    EXPECT_TRUE(std::ranges::count(members("at least 4 operations"), item));
  }
}

TEST(GroupingTest, UnreadableItemsCountAsWrongAndBelongToNoGroup) {
  Evaluation evaluation = four_items();
  evaluation.items.push_back(unreadable_item("x"));
  const Metrics metrics = measure(view(evaluation));
  EXPECT_EQ(metrics.exact.total, 5);
  EXPECT_EQ(metrics.exact.count, 2);
  EXPECT_EQ(metrics.truncated.count, 1);
  size_t in_groups = 0;
  for (const auto& members : by_family(evaluation.items).membership) in_groups += members.size();
  EXPECT_EQ(in_groups, 4U);
  in_groups = 0;
  for (const auto& members : by_size(evaluation.items).membership) in_groups += members.size();
  EXPECT_EQ(in_groups, 4U);
  EXPECT_NO_THROW(by_subset(evaluation.items));
}

TEST(GroupingTest, SelectKeepsTheOrderOfTheIndices) {
  const Evaluation evaluation = four_items();
  const ItemView chosen = select(evaluation, {2, 0});
  ASSERT_EQ(chosen.size(), 2U);
  EXPECT_EQ(chosen[0], &evaluation.items[2]);
  EXPECT_EQ(chosen[1], &evaluation.items[0]);
}

}  // namespace
}  // namespace giantrabbit::eval
