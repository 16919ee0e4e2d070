// Sorting of letters: the 27 triples of chapter3_golden.json, sizes by name of the task, splits, refusals.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/families/families.h"
#include "tests/data/domain_checks.h"
#include "tests/data/text.h"
#include "tests/support/golden.h"

namespace giantrabbit::data {
namespace {

// In order, and every letter as often as in the prompt.
bool is_sorted_prompt(const Words& prompt, const Words& answer) {
  return std::ranges::is_sorted(answer) && answer.size() == prompt.size() - 2 &&
         std::is_permutation(answer.begin(), answer.end(), prompt.begin() + 1);
}

std::string refusal(const std::string& prompt) {
  try {
    parse_problem(prompt);
  } catch (const ProblemError& error) {
    return error.what();
  }
  return "";
}

TEST(LetterSorting, PassesTheChecksOfEveryDomain) {
  for (const char* task : {"abc-sort-8x10", "abc-sort-26x20", "abc-sort-2x64"}) {
    domain_checks::expect_sound_generator(task, 30, is_sorted_prompt);
    domain_checks::expect_mutations_judged(task, 5, is_sorted_prompt,
                                           [](const Words&, const Words&) { return false; });
    domain_checks::expect_cut_outputs_truncated(task);
  }
  EXPECT_GT(domain_checks::judge_garbage("abc-sort-8x10", 2000)[ErrorClass::format], 0);
}

TEST(LetterSorting, SolvesTheGoldenTriples) {
  const auto triples = test_support::load_golden("chapter3_golden.json")["abc_sorter"]["triples"];
  ASSERT_EQ(triples.size(), 27U);
  const Family& family = find_family("ABC");
  for (const auto& triple : triples) {
    const Problem problem = family.from_json({{"letters", triple["input"]}});
    std::string expected = "ANS";
    for (const char letter : triple["output"].get<std::string>()) expected += std::string(" ") + letter;
    EXPECT_EQ(join_words(family.solve(problem.prompt, ChainFormat::prod)), expected + " EOS");
  }
}

TEST(LetterSorting, EverySplitOfTheTriplesHoldsAllOfThem) {
  constexpr uint64_t seed = 61;
  for (const Split split : {Split::train, Split::validation, Split::test}) {
    const ExampleSource source("abc-sort", ChainFormat::prod, split, seed);
    std::set<Words> seen;
    // 540 draws, as many as a comparison over 27 makes, miss one of 27 with a probability of 4e-8.
    for (uint64_t index = 0; index < 540; ++index) seen.insert(source.example(index).problem.prompt);
    EXPECT_EQ(seen.size(), 27U) << "seed " << seed;
  }
  EXPECT_TRUE(find_letter_sorting("abc-sort-8x10")->is_split());
}

TEST(LetterSorting, TheTaskNamesLettersAndLength) {
  const ExampleSource source("abc-sort-5x12", ChainFormat::prod, Split::train, 62);
  std::set<std::string> letters;
  for (uint64_t index = 0; index < 100; ++index) {
    const Words prompt = source.example(index).problem.prompt;
    EXPECT_EQ(prompt.size(), 14U);
    letters.insert(prompt.begin() + 1, prompt.end() - 1);
  }
  EXPECT_EQ(letters, (std::set<std::string>{"a", "b", "c", "d", "e"}));
  for (const char* task : {"abc-sort-1x3", "abc-sort-27x3", "abc-sort-3x0", "abc-sort-3x65", "abc-sort-3",
                           "abc-sort-03x3", "abc-sort-", "abc-sort-3x3x3"}) {
    EXPECT_EQ(find_letter_sorting(task), nullptr) << task;
    EXPECT_THROW(ExampleSource::task_vocabulary(task), std::invalid_argument) << task;
  }
}

TEST(LetterSorting, TheVocabularyHoldsFrameAndLettersOnly) {
  EXPECT_EQ(join_words(ExampleSource::task_vocabulary("abc-sort").words()),
            "PAD BOS EOS ANS NL ; : ABC a b c");
  EXPECT_EQ(ExampleSource::task_vocabulary("abc-sort-26x20").size(), 34);
}

TEST(LetterSorting, RefusesWhatAreNoLetters) {
  const std::string expected = "ABC: expected letters from a to z (\"ABC c a a ;\"), got \"";
  EXPECT_EQ(refusal("ABC ;"), expected + "ABC ;\"");
  EXPECT_EQ(refusal("ABC c 1 ;"), expected + "ABC c 1 ;\"");
  EXPECT_EQ(refusal("ABC c ; a ;"), expected + "ABC c ; a ;\"");
  EXPECT_EQ(refusal("ABC z h a"), "");
  EXPECT_THROW(find_family("ABC").from_json({{"letters", 3}}), ProblemError);
  EXPECT_THROW(find_family("ABC").from_json({{"letters", "aB"}}), ProblemError);
  EXPECT_THROW(find_family("ABC").from_json({{"list", "ab"}}), ProblemError);
}

TEST(LetterSorting, JudgesAnswers) {
  const Words prompt = words_of("ABC c a a ;");
  const auto error = [&](const std::string& output) {
    return error_class_name(find_family("ABC").judge(prompt, words_of(output), ChainFormat::prod).error);
  };
  EXPECT_EQ(error("ANS a a c EOS"), "none");
  EXPECT_EQ(error("ANS a c c EOS"), "final_copy");
  EXPECT_EQ(error("ANS a a EOS"), "final_copy");
  EXPECT_EQ(error("ANS a a ; EOS"), "format");
  EXPECT_EQ(error("ANS a a c"), "truncated");
  EXPECT_EQ(error("a a c NL ANS a a c EOS"), "format");
}

}  // namespace
}  // namespace giantrabbit::data
