// Row reduction end to end: the worked example, generated problems in all formats, wrong outputs of every
// kind, mutations and garbage, and the shares of the generator's law.
#include <array>
#include <cstdlib>
#include <map>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/chain.h"
#include "data/example_source.h"
#include "data/families/families.h"
#include "data/words.h"
#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

constexpr std::array formats = {ChainFormat::prod, ChainFormat::delta, ChainFormat::answer_only};

const Words worked_prompt = words_of("RREF 0 1 2 2 ; 0 3 8 7 ; 0 0 4 2 ;");

Verdict judge(const std::string& output, ChainFormat format = ChainFormat::delta) {
  return row_reduction().judge(worked_prompt, words_of(output), format);
}

constexpr const char* delta_chain =
    "SUB R2 R1 3 : 0 0 2 1 NL SUB R3 R2 2 : 0 0 0 0 NL DIV R2 2 : 0 0 1 1 /2 NL SUB R1 R2 2 : 0 1 0 1 NL";
constexpr const char* right_answer = " ANS 0 1 0 1 ; 0 0 1 1 /2 ; 0 0 0 0 ; EOS";

TEST(RowReduction, SolvesTheWorkedExampleInItsKnownLength) {
  EXPECT_EQ(row_reduction().solve(worked_prompt, ChainFormat::prod).size(), 70U);
  EXPECT_EQ(row_reduction().solve(worked_prompt, ChainFormat::delta),
            words_of(delta_chain + std::string(right_answer)));
  EXPECT_EQ(row_reduction().solve(worked_prompt, ChainFormat::delta).size(), 58U);
  EXPECT_EQ(row_reduction().solve(worked_prompt, ChainFormat::answer_only), words_of(right_answer));
  EXPECT_EQ(row_reduction().canonical(worked_prompt), "3x4|0,0,4,2;0,1,2,2;0,3,8,7");
  EXPECT_EQ(row_reduction().stratum(worked_prompt), "3x4");
}

TEST(RowReduction, JudgesAFullVerdict) {
  const Verdict verdict = judge(delta_chain + std::string(right_answer));
  EXPECT_TRUE(verdict.finished && verdict.answer_right && verdict.chain_valid);
  EXPECT_EQ(verdict.error, ErrorClass::none);
  EXPECT_EQ(verdict.steps.size(), 4U);
  EXPECT_EQ(verdict.chain_words, 40);
  EXPECT_EQ(verdict.reference_chain_words, 40);
  EXPECT_EQ(verdict.reference_steps, 4);
  EXPECT_TRUE(verdict.has_fraction);
  for (const StepVerdict& step : verdict.steps) EXPECT_TRUE(step.as_reference);
  const Verdict bare = judge(right_answer, ChainFormat::answer_only);
  EXPECT_TRUE(bare.chain_valid);
  EXPECT_EQ(bare.reference_chain_words, 0);
  EXPECT_EQ(bare.reference_steps, 4) << "groups do not depend on the format";
}

TEST(RowReduction, AnotherRightChainIsValidButNotTheReference) {
  // Divides row 3 first and clears upwards with it.
  const Verdict verdict = judge(
      "SUB R2 R1 3 : 0 0 2 1 NL DIV R2 2 : 0 0 1 1 /2 NL SUB R3 R2 4 : 0 0 0 0 NL SUB R1 R2 2 : 0 1 0 1 NL" +
      std::string(right_answer));
  EXPECT_TRUE(verdict.chain_valid);
  EXPECT_TRUE(verdict.steps[0].as_reference);
  EXPECT_FALSE(verdict.steps[1].as_reference);
  EXPECT_TRUE(verdict.steps[3].as_reference);
}

TEST(RowReduction, ClassifiesTheFirstFault) {
  const std::string chain = delta_chain;
  const std::string first_line = chain.substr(0, chain.find("NL") + 2);
  const std::string wrong_answer = " ANS 0 1 0 1 ; 0 0 1 1 /3 ; 0 0 0 0 ; EOS";
  const std::string slip = "SUB R2 R1 3 : 0 0 2 2 NL";
  const std::string open_answer = " ANS 0 1 0 1 ; 0 0 1 1 /2 ; 0 0 0 0 ;";
  struct Case {
    std::string output;
    ErrorClass error;
    bool right;
  };
  for (const Case& one :
       {Case{chain + wrong_answer, ErrorClass::final_copy, false},
        Case{chain + " ANS 0 1 0 1 ; 0 0 1 1 /2 ; EOS", ErrorClass::final_copy, false},
        Case{chain + " ANS 0 1 0 1 ; 0 0 EOS", ErrorClass::format, false},
        Case{chain + " EOS", ErrorClass::format, false}, Case{chain, ErrorClass::truncated, false},
        Case{chain + open_answer, ErrorClass::truncated, false},
        Case{chain + " SUB R1", ErrorClass::truncated, false}, Case{"", ErrorClass::truncated, false},
        Case{first_line + right_answer, ErrorClass::policy, true},
        Case{right_answer, ErrorClass::policy, true},
        Case{first_line + wrong_answer, ErrorClass::policy, false},
        Case{slip + right_answer, ErrorClass::arithmetic, true},
        Case{slip + " SUB R1", ErrorClass::arithmetic, false},
        Case{"PIV 2 3 NL" + chain, ErrorClass::format, false}}) {
    const Verdict verdict = judge(one.output);
    EXPECT_EQ(error_class_name(verdict.error), error_class_name(one.error)) << one.output;
    EXPECT_EQ(verdict.answer_right, one.right) << one.output;
    EXPECT_FALSE(verdict.chain_valid) << one.output;
  }
  const Verdict unasked = judge(delta_chain + std::string(right_answer), ChainFormat::answer_only);
  EXPECT_EQ(unasked.error, ErrorClass::format);
  EXPECT_TRUE(unasked.answer_right);
}

TEST(RowReduction, ReadsOutsideItems) {
  const auto item = nlohmann::json::parse(R"({"A": [[0, 1, 2], ["-3/2", 3, 8]]})");
  EXPECT_EQ(row_reduction().from_json(item).prompt, words_of("RREF 0 1 2 ; -3 /2 3 8 ;"));
  for (const char* text :
       {"{}", "[]", "3", R"({"A": 3})", R"({"A": []})", R"({"A": [[]]})", R"({"A": [[1.5]]})",
        R"({"A": [[1, 2], [3]]})", R"({"A": [["x"]]})", R"({"A": [[61]]})", R"({"A": [[null]]})",
        R"({"A": [[1, 9], [7, 2]]})", R"({"A": [[99999999999999999999]]})"}) {
    EXPECT_THROW((void)row_reduction().from_json(nlohmann::json::parse(text)), ProblemError) << text;
  }
}

TEST(RowReduction, EveryReferenceSolutionIsJudgedRight) {
  for (const char* task : {"row-reduction", "row-reduction-4x5"}) {
    const ExampleSource source(task, ChainFormat::prod, Split::validation, 31);
    for (uint64_t index = 0; index < 1000; ++index) {
      const Words prompt = source.example(index).problem.prompt;
      for (const ChainFormat format : formats) {
        const Words solution = row_reduction().solve(prompt, format);
        const Verdict verdict = row_reduction().judge(prompt, solution, format);
        ASSERT_TRUE(verdict.chain_valid) << join_words(prompt);
        ASSERT_EQ(verdict.chain_words, verdict.reference_chain_words);
        for (const StepVerdict& step : verdict.steps) ASSERT_TRUE(step.valid && step.as_reference);
        ASSERT_NO_THROW((void)source.vocabulary().encode(solution));
      }
    }
  }
}

// One word replaced: a swap with an equal row is the only such change that keeps the meaning.
TEST(RowReduction, MutatedSolutionsAreNeverValid) {
  constexpr uint64_t seed = 32;
  SCOPED_TRACE(seed);
  CounterRng rng{seed};
  const ExampleSource source("row-reduction", ChainFormat::prod, Split::validation, seed);
  const Vocabulary& vocabulary = source.vocabulary();
  for (uint64_t index = 0; index < 60; ++index) {
    const Words prompt = source.example(index).problem.prompt;
    for (const ChainFormat format : formats) {
      const Words solution = row_reduction().solve(prompt, format);
      for (size_t place = 0; place < solution.size(); ++place) {
        Words output = solution;
        do {
          output[place] = vocabulary.word(rng.uniform(0, vocabulary.size() - 1));
        } while (output[place] == solution[place]);
        const bool near_swap =
            (place > 0 && solution[place - 1] == "SW") || (place > 1 && solution[place - 2] == "SW");
        const Verdict verdict = row_reduction().judge(prompt, output, format);
        ASSERT_TRUE(!verdict.chain_valid || near_swap) << join_words(prompt) << " -> " << join_words(output);
      }
    }
  }
}

TEST(RowReduction, GarbageNeverThrowsAndVerdictsStayConsistent) {
  constexpr uint64_t seed = 33;
  SCOPED_TRACE(seed);
  CounterRng rng{seed};
  const ExampleSource source("row-reduction", ChainFormat::prod, Split::validation, seed);
  const Vocabulary& vocabulary = source.vocabulary();
  const auto any_word = [&] { return vocabulary.word(rng.uniform(0, vocabulary.size() - 1)); };
  std::vector<Words> prompts;
  for (uint64_t index = 0; index < 200; ++index) prompts.push_back(source.example(index).problem.prompt);
  std::map<ErrorClass, int> seen;
  for (uint64_t round = 0; round < 20000; ++round) {
    const Words& prompt = prompts[round % prompts.size()];
    const ChainFormat format = formats[round % 3];
    Words output = rng.chance(.2) ? Words{} : row_reduction().solve(prompt, formats[(round / 3) % 3]);
    for (int64_t edits = rng.uniform(0, 6); edits > 0; --edits) {
      const auto place = static_cast<std::ptrdiff_t>(rng.uniform(0, static_cast<int64_t>(output.size())));
      const bool inside = place < static_cast<std::ptrdiff_t>(output.size());
      switch (rng.uniform(0, 3)) {
        case 0:
          output.insert(output.begin() + place, any_word());
          break;
        case 1:
          if (inside) output.erase(output.begin() + place);
          break;
        case 2:
          if (inside) output[static_cast<size_t>(place)] = any_word();
          break;
        default:
          if (rng.chance(.3)) output.resize(static_cast<size_t>(place));
          break;
      }
    }
    const Verdict verdict = row_reduction().judge(prompt, output, format);
    ++seen[verdict.error];
    ASSERT_EQ(verdict.chain_valid, verdict.error == ErrorClass::none) << join_words(output);
    ASSERT_TRUE(!verdict.chain_valid || verdict.answer_right);
    ASSERT_TRUE(!verdict.answer_right || verdict.finished);
    int begin = 0;
    for (const StepVerdict& step : verdict.steps) {
      ASSERT_EQ(step.begin, begin);
      ASSERT_GT(step.end, step.begin);
      ASSERT_EQ(step.valid, step.error == ErrorClass::none && step.reason.empty());
      begin = step.end;
    }
    ASSERT_EQ(begin, verdict.chain_words);
  }
  for (const ErrorClass error : {ErrorClass::none, ErrorClass::format, ErrorClass::arithmetic,
                                 ErrorClass::policy, ErrorClass::final_copy, ErrorClass::truncated}) {
    EXPECT_GT(seen[error], 50) << error_class_name(error);
  }
}

struct Shares {
  std::map<std::string, double> sizes;
  double fractions = 0, entries_over_9 = 0, entries_over_20 = 0, zero_front = 0, subtract_fraction = 0,
         rank_1 = 0;
};

Shares measure(Split split, int total) {
  const ExampleSource source("row-reduction", ChainFormat::prod, split, 34);
  Shares shares;
  const double unit = 1. / total;
  for (int index = 0; index < total; ++index) {
    const Words prompt = source.example(static_cast<uint64_t>(index)).problem.prompt;
    const Matrix matrix = read_prompt_matrix(prompt, 8, 8);
    const Reduction reduction = reduce(matrix);
    int64_t largest = 0;
    bool fraction = false, zero_front = true;
    for (int i = 0; i < matrix.rows(); ++i) {
      zero_front = zero_front && matrix(i, 0).is_zero();
      for (int j = 0; j < matrix.columns(); ++j) {
        EXPECT_TRUE(matrix(i, j).is_integer());
        largest = std::max(largest, std::abs(matrix(i, j).numerator()));
        fraction = fraction || !reduction.rref(i, j).is_integer();
      }
    }
    EXPECT_LE(largest, 30);
    shares.sizes[row_reduction().stratum(prompt)] += unit;
    shares.fractions += fraction ? unit : 0;
    shares.entries_over_9 += largest > 9 ? unit : 0;
    shares.entries_over_20 += largest > 20 ? unit : 0;
    shares.zero_front += zero_front ? unit : 0;
    shares.rank_1 += reduction.pivots.size() == 1 ? unit : 0;
    shares.subtract_fraction += survey_chain(matrix, reduction.operations).subtract_fraction ? unit : 0;
  }
  return shares;
}

// Five standard deviations of a share of 5,000 are at most .035.
TEST(RowReduction, TheLawCoversTheExam) {
  const Shares shares = measure(Split::validation, 5000);
  EXPECT_EQ(shares.sizes.size(), 4U);
  EXPECT_NEAR(shares.sizes.at("2x3"), .14, .035);
  EXPECT_NEAR(shares.sizes.at("3x3"), .29, .035);
  EXPECT_NEAR(shares.sizes.at("3x4"), .40, .035);
  EXPECT_NEAR(shares.sizes.at("3x5"), .17, .035);
  EXPECT_GT(shares.fractions, .20);
  EXPECT_GT(shares.entries_over_9, .25);
  EXPECT_GT(shares.entries_over_20, .10);
  EXPECT_NEAR(shares.zero_front, .25, .05);
  EXPECT_GT(shares.rank_1, .08);
  EXPECT_GT(shares.subtract_fraction, .08);
}

TEST(RowReduction, TrainingSeesMoreOfTheHardSteps) {
  const double natural = measure(Split::validation, 2000).subtract_fraction;
  const double training = measure(Split::train, 2000).subtract_fraction;
  EXPECT_GT(training, 2.5 * natural);
  EXPECT_DOUBLE_EQ(row_reduction().training_weight(words_of("RREF 1 0 2 ; 3 1 6 ; 2 0 5 ;")), 1. / 9);
  EXPECT_DOUBLE_EQ(row_reduction().training_weight(words_of("RREF 1 2 ; 3 6 ;")), .4 / 9);
}

TEST(RowReduction, TheTallTaskGeneratesItsShapeOnly) {
  const ExampleSource source("row-reduction-4x5", ChainFormat::prod, Split::train, 35);
  for (uint64_t index = 0; index < 200; ++index) {
    ASSERT_EQ(row_reduction().stratum(source.example(index).problem.prompt), "4x5");
  }
}

}  // namespace
}  // namespace giantrabbit::data
