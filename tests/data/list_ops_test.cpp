// ListOps: values against a recursive evaluation, chains in any order that the expression allows, planted
// faults.
#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/data/domain_checks.h"
#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

// By recursion over the words, not over a tree.
int value_at(const Words& words, size_t& place) {
  const std::string name = words[place++];
  if (name.size() == 1) return std::stoi(name);
  std::vector<int> values;
  while (words[place] != "]") values.push_back(value_at(words, place));
  ++place;
  std::sort(values.begin(), values.end());
  const size_t half = (values.size() - 1) / 2;
  if (name == "[MIN") return values.front();
  if (name == "[MAX") return values.back();
  if (name == "[SM") return std::accumulate(values.begin(), values.end(), 0) % 10;
  return (values[half] + values[values.size() - 1 - half]) / 2;
}

bool value_is_right(const Words& prompt, const Words& answer) {
  size_t place = 1;
  return answer.size() == 1 && answer[0] == std::to_string(value_at(prompt, place));
}

Verdict judge(const std::string& prompt, const std::string& output) {
  return find_family("LISTOPS").judge(words_of(prompt), words_of(output), ChainFormat::prod);
}

TEST(ListOps, GeneratesAndSolves) {
  domain_checks::expect_sound_generator("listops", 300, value_is_right);
  domain_checks::expect_sound_generator("listops-long", 10, value_is_right);
  domain_checks::expect_cut_outputs_truncated("listops");
}

// With its operator and arguments a line may be another ready operator's only if it equals that one.
TEST(ListOps, JudgesOneWordChanges) {
  domain_checks::expect_mutations_judged("listops", 25, value_is_right,
                                         [](const Words&, const Words&) { return false; });
}

TEST(ListOps, SurvivesGarbageAndMeetsEveryErrorClass) {
  auto seen = domain_checks::judge_garbage("listops", 4000);
  for (const ErrorClass error :
       {ErrorClass::none, ErrorClass::format, ErrorClass::arithmetic, ErrorClass::stale_row,
        ErrorClass::policy, ErrorClass::final_copy, ErrorClass::truncated}) {
    EXPECT_GT(seen[error], 5) << error_class_name(error);
  }
}

TEST(ListOps, EvaluatesEveryOperator) {
  const auto answer = [](const std::string& expression) {
    const Words solution =
        find_family("LISTOPS").solve(words_of("LISTOPS " + expression + " ;"), ChainFormat::answer_only);
    return solution[1];
  };
  EXPECT_EQ(answer("[MIN 4 2 7 ]"), "2");
  EXPECT_EQ(answer("[MAX 4 2 7 ]"), "7");
  EXPECT_EQ(answer("[SM 4 2 7 ]"), "3");
  EXPECT_EQ(answer("[MED 4 2 7 ]"), "4");
  EXPECT_EQ(answer("[MED 4 2 7 9 ]"), "5") << "5.5 without its fraction";
  EXPECT_EQ(answer("[MED 3 ]"), "3");
}

TEST(ListOps, NamesTheFirstFault) {
  const std::string prompt = "LISTOPS [MAX 2 [SM 4 7 9 ] [MIN 3 1 ] ] ;";
  const std::string sum = "[SM 4 7 9 : 0 NL ";
  const std::string least = "[MIN 3 1 : 1 NL ";
  const std::string root = "[MAX 2 0 1 : 2 NL ";
  EXPECT_TRUE(judge(prompt, sum + least + root + "ANS 2 EOS").chain_valid);
  const Verdict other_order = judge(prompt, least + sum + root + "ANS 2 EOS");
  EXPECT_TRUE(other_order.chain_valid);
  EXPECT_FALSE(other_order.steps[0].as_reference);
  EXPECT_EQ(judge(prompt, "[SM 4 7 9 : 1 NL " + least + root + "ANS 2 EOS").error, ErrorClass::arithmetic);
  EXPECT_EQ(judge(prompt, "[SM 4 7 8 : 9 NL " + least + root + "ANS 2 EOS").error, ErrorClass::stale_row);
  EXPECT_EQ(judge(prompt, sum + root + "ANS 2 EOS").error, ErrorClass::stale_row);
  EXPECT_EQ(judge(prompt, sum + least + "ANS 2 EOS").error, ErrorClass::policy);
  EXPECT_EQ(judge(prompt, sum + least + root + root + "ANS 2 EOS").error, ErrorClass::policy);
  EXPECT_EQ(judge(prompt, sum + least + root + "ANS 3 EOS").error, ErrorClass::final_copy);
  EXPECT_EQ(judge(prompt, sum + least + root + "ANS 2 2 EOS").error, ErrorClass::format);
  EXPECT_EQ(judge(prompt, "[SM 4 7 9 0 NL " + least + root + "ANS 2 EOS").error, ErrorClass::format);
  // The wrong value is used rightly: one fault.
  const Verdict slip = judge(prompt, "[SM 4 7 9 : 5 NL " + least + "[MAX 2 5 1 : 5 NL ANS 5 EOS");
  ASSERT_EQ(slip.steps.size(), 3U);
  EXPECT_FALSE(slip.steps[0].valid);
  EXPECT_TRUE(slip.steps[1].valid && slip.steps[2].valid);
  EXPECT_FALSE(slip.answer_right);
}

TEST(ListOps, ARepeatedLineIsOneFault) {
  const std::string prompt = "LISTOPS [MAX 2 [SM 4 7 9 ] [MIN 3 1 ] [MED 3 5 7 6 ] ] ;";
  const Verdict verdict = judge(prompt,
                                "[SM 4 7 9 : 0 NL [SM 4 7 9 : 0 NL [MIN 3 1 : 1 NL [MED 3 5 7 6 : 5 NL "
                                "[MAX 2 0 1 5 : 5 NL ANS 5 EOS");
  ASSERT_EQ(verdict.steps.size(), 5U);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(verdict.steps[i].valid, i != 1) << i;
  EXPECT_TRUE(verdict.answer_right);
  EXPECT_FALSE(verdict.chain_valid);
}

TEST(ListOps, RefusesWhatIsNoExpression) {
  for (const char* text :
       {"LISTOPS", "LISTOPS 3", "LISTOPS [MAX 1", "LISTOPS [MAX ]", "LISTOPS ]", "LISTOPS [MAX 1 ] 2",
        "LISTOPS [MAX 10 ]", "LISTOPS [MAX 1 ; 2 ]", "LISTOPS [MAX 1 ] [MIN 2 ]"}) {
    EXPECT_THROW((void)parse_problem(text), ProblemError) << text;
  }
  const Family& family = find_family("LISTOPS");
  const auto read = [&](const char* text) { return family.from_json({{"expression", text}}).prompt; };
  EXPECT_EQ(read("( ( ( [MAX 2 ) 9 ) ] )"), words_of("LISTOPS [MAX 2 9 ] ;"));
  EXPECT_THROW((void)family.from_json({{"expression", 3}}), ProblemError);
}

// Deep nesting needs no stack of calls.
TEST(ListOps, TakesDeepExpressions) {
  Words prompt = {"LISTOPS"};
  constexpr int depth = 20000;
  for (int i = 0; i < depth; ++i) prompt.insert(prompt.end(), {"[MAX", "1"});
  prompt.insert(prompt.end(), depth, "]");
  prompt.emplace_back(";");
  EXPECT_EQ(find_family("LISTOPS").solve(prompt, ChainFormat::answer_only), words_of("ANS 1 EOS"));
}

}  // namespace
}  // namespace giantrabbit::data
