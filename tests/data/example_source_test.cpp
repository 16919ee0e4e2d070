// Examples as a pure function of (task, split, seed, index), and the walls between the splits.
#include "data/example_source.h"

#include <map>
#include <set>
#include <stdexcept>

#include <gtest/gtest.h>

#include "data/families/families.h"

namespace giantrabbit::data {
namespace {

TEST(ExampleSource, AnExampleDependsOnItsIndexAlone) {
  const ExampleSource source("row-reduction", ChainFormat::prod, Split::train, 41);
  const ExampleSource again("row-reduction", ChainFormat::prod, Split::train, 41);
  std::vector<Words> forward;
  for (uint64_t index = 0; index < 50; ++index) forward.push_back(source.example(index).problem.prompt);
  for (uint64_t index = 50; index-- > 0;) {
    EXPECT_EQ(again.example(index).problem.prompt, forward[index]);
  }
  EXPECT_EQ(source.example(UINT64_MAX).prompt, again.example(UINT64_MAX).prompt);
}

// Freezes the law: a change of the generator must be a decision, since stored results and resumed runs rely
// on it.
TEST(ExampleSource, TheFirstExamplesAreFrozen) {
  const ExampleSource source("row-reduction", ChainFormat::prod, Split::test, 0);
  EXPECT_EQ(join_words(source.example(0).problem.prompt), "RREF 3 6 12 ; 6 12 24 ;");
  EXPECT_EQ(join_words(source.example(1).problem.prompt), "RREF 0 2 6 0 ; 0 8 24 2 ; 0 -8 -24 -6 ;");
  EXPECT_EQ(join_words(source.example(1999).problem.prompt), "RREF 0 2 2 ; 0 8 10 ;");
}

TEST(ExampleSource, OtherSeedsTasksAndSplitsGiveOtherProblems) {
  const auto prompts = [](std::string_view task, Split split, uint64_t seed) {
    const ExampleSource source(task, ChainFormat::delta, split, seed);
    std::vector<Words> result;
    for (uint64_t index = 0; index < 20; ++index) result.push_back(source.example(index).problem.prompt);
    return result;
  };
  const auto base = prompts("row-reduction", Split::train, 1);
  EXPECT_NE(base, prompts("row-reduction", Split::train, 2));
  EXPECT_NE(base, prompts("row-reduction", Split::validation, 1));
  EXPECT_NE(base, prompts("row-reduction-4x5", Split::train, 1));
}

TEST(ExampleSource, TheFormatChangesTheTargetOnly) {
  const ExampleSource prod("row-reduction", ChainFormat::prod, Split::train, 42);
  const ExampleSource delta("row-reduction", ChainFormat::delta, Split::train, 42);
  for (uint64_t index = 0; index < 50; ++index) {
    EXPECT_EQ(prod.example(index).prompt, delta.example(index).prompt);
    EXPECT_GT(prod.example(index).target.size(), delta.example(index).target.size() - 1);
    EXPECT_EQ(prod.example(index).target.back(), Vocabulary::eos);
  }
}

TEST(ExampleSource, NoTrainingOrValidationProblemIsATestOrExamProblem) {
  constexpr uint64_t seed = 43;
  SCOPED_TRACE(seed);
  const Family& family = row_reduction();
  for (const auto& [split, total] :
       {std::pair{Split::train, 20000U}, {Split::validation, 20000U}, {Split::test, 2000U}}) {
    const ExampleSource source("row-reduction", ChainFormat::answer_only, split, seed);
    for (uint64_t index = 0; index < total; ++index) {
      const std::string text = family.canonical(source.example(index).problem.prompt);
      const uint64_t bucket = fnv1a64(text) % 20;
      ASSERT_EQ(bucket == 0, split == Split::test) << text;
      ASSERT_EQ(bucket == 1, split == Split::validation) << text;
      ASSERT_FALSE(is_exam_item(text)) << text;
    }
  }
}

TEST(ExampleSource, UnknownTasksAreAnsweredWithTheKnownOnes) {
  for (const char* task : {"", "rref", "Row-Reduction", "null "}) {
    try {
      const ExampleSource source(task, ChainFormat::prod, Split::train, 0);
      ADD_FAILURE() << "accepted " << task;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find("known are row-reduction, row-reduction-4x5, exam"),
                std::string::npos);
    }
  }
}

TEST(ExampleSource, TheExamTaskTakesTheNineFamiliesInTurn) {
  const ExampleSource source("exam", ChainFormat::prod, Split::train, 44);
  for (uint64_t index = 0; index < 18; ++index) {
    EXPECT_EQ(source.example(index).problem.prompt[0], exam_families()[index % 9]->name());
  }
}

TEST(ExampleSource, TaskNamesDifferAndTheirVocabulariesHoldTheirWords) {
  const std::vector<std::string> tasks = ExampleSource::tasks();
  EXPECT_EQ(std::set<std::string>(tasks.begin(), tasks.end()).size(), tasks.size());
  const Words base = Vocabulary().words();
  for (const std::string& task : tasks) {
    const ExampleSource source(task, ChainFormat::delta, Split::test, 45);
    const Vocabulary vocabulary = ExampleSource::task_vocabulary(task);
    EXPECT_EQ(source.vocabulary().words(), vocabulary.words()) << task;
    const bool letters_only = task.starts_with("abc-sort");  // PAD to ":" are its base words
    const auto end = letters_only ? base.begin() + 7 : base.end();
    ASSERT_GE(vocabulary.size(), end - base.begin()) << task;
    EXPECT_TRUE(std::equal(base.begin(), end, vocabulary.words().begin())) << task;
    for (uint64_t index = 0; index < 3; ++index) {
      const Example example = source.example(index);
      EXPECT_EQ(vocabulary.encode(example.problem.prompt), example.prompt) << task;
    }
  }
}

// The hash of the split must not see a family's problems in a few buckets only.
TEST(ExampleSource, EveryDomainFillsEverySplit) {
  constexpr uint64_t seed = 46;
  constexpr int total = 400;
  SCOPED_TRACE(seed);
  for (const FamilyTask& task : domain_tasks()) {
    if (!task.family->is_split()) continue;
    std::map<Split, int> counts;
    for (uint64_t index = 0; index < total; ++index) {
      CounterRng rng{seed, fnv1a64(task.name), index};
      ++counts[split_of(task.family->canonical(task.family->generate(rng).prompt))];
    }
    // 20 of 400 are expected, with a deviation of 4.4.
    for (const Split split : {Split::validation, Split::test}) {
      EXPECT_GT(counts[split], 2) << task.name;
      EXPECT_LT(counts[split], 45) << task.name;
    }
  }
}

TEST(ExampleSource, TasksOfBaseWordsKeepTheBaseVocabulary) {
  for (const char* task : {"row-reduction", "row-reduction-4x5", "exam", "null", "member-rule"}) {
    EXPECT_EQ(ExampleSource::task_vocabulary(task).words(), Vocabulary().words()) << task;
  }
  EXPECT_THROW((void)ExampleSource::task_vocabulary("cooking"), std::invalid_argument);
}

}  // namespace
}  // namespace giantrabbit::data
