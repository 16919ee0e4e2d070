// What comes from outside: prompts that are no problem of their family and items with missing or wrong fields
// are refused with one clear sentence; sensible variants are read.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/families/families.h"
#include "data/split.h"
#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

using nlohmann::json;

// Why the prompt is refused; empty when it is not.
std::string prompt_refusal(const std::string& prompt) {
  const Words words = words_of(prompt);
  try {
    find_family(words[0]).validate(words);
  } catch (const ProblemError& error) {
    return error.what();
  }
  return "";
}

std::string item_refusal(const Family& family, const std::string& given) {
  try {
    (void)family.from_json(json::parse(given));
  } catch (const ProblemError& error) {
    return error.what();
  }
  return "";
}

std::string prompt_of(const Family& family, const std::string& given) {
  return join_words(family.from_json(json::parse(given)).prompt);
}

TEST(ExamFamilyInput, RefusesPromptsWithOneClearSentence) {
  EXPECT_EQ(prompt_refusal("NULL 1 2 ; 3 ;"), "NULL: row 2 has 1 entries, row 1 has 2");
  EXPECT_EQ(prompt_refusal("NULL 1 2"), "NULL: row 1 does not end with \";\"");
  EXPECT_EQ(prompt_refusal("COLSP"), "COLSP: expected rows of a matrix, got nothing");
  EXPECT_EQ(prompt_refusal("BLOCK 1 EQ ;"), "BLOCK: expected a value or \";\" in row 1, got \"EQ\"");
  EXPECT_EQ(prompt_refusal("NULL 1 2 3 4 5 6 7 8 9 10 ;"),
            "NULL: expected at most 8 rows and 9 columns, got 1x10");
  EXPECT_EQ(
      prompt_refusal("NULL 59 60 ; 58 57 ;"),
      "NULL: the solution meets a value without words: 58/59 is outside the vocabulary (numerators -60..60, "
      "denominators up to 9)");
  std::string growing = "UNDO 1 1 ; 1 1 ;";
  for (int step = 0; step < 6; ++step) growing += " SUB R2 R1 60 ; SUB R1 R2 60 ;";
  EXPECT_EQ(prompt_refusal(growing), "UNDO: the solution meets values beyond 64 bits");
  EXPECT_EQ(prompt_refusal(growing + " SUB R2 R1 1 ;"), "UNDO: expected at most 12 operations");
}

TEST(ExamFamilyInput, RefusesTheFactsAndSetsThatCannotBe) {
  EXPECT_EQ(prompt_refusal("FACT_COUNT 3 5 4 ;"), "FACT_COUNT: expected a rank from 0 to 3, got 4");
  EXPECT_EQ(prompt_refusal("FACT_SPACES 0 5 0 ;"),
            "FACT_SPACES: expected at least one row and one column, got 0x5");
  EXPECT_EQ(
      prompt_refusal("FACT_SPACES 3 5 ;"),
      "FACT_SPACES: expected rows, columns and rank (\"FACT_SPACES 3 5 3 ;\"), got \"FACT_SPACES 3 5 ;\"");
  EXPECT_EQ(prompt_refusal("FACT_COUNT 3 5 1 /2 ;"), "FACT_COUNT: expected whole numbers, got 1/2");
  EXPECT_EQ(prompt_refusal("SOLSET 3 ; 4 0 ; 2 2 ;"),
            "SOLSET: special solution 1 needs a 1 as its last nonzero entry, got 2");
  EXPECT_EQ(prompt_refusal("SOLSET 3 ; 4 0 ; 0 0 ;"),
            "SOLSET: special solution 1 needs a 1 as its last nonzero entry, got the zero vector");
  EXPECT_EQ(prompt_refusal("SOLSET 3 ; 4 0 0 ; 2 1 0 ; 5 1 1 ;"),
            "SOLSET: special solution 2 needs a 0 at column 2, the free column of 1");
  EXPECT_EQ(prompt_refusal("SOLSET 1 ; 4 0 0 ; 2 1 1 ;"),
            "SOLSET: 3 columns and 1 special solutions need at least 2 rows, got 1");
  EXPECT_TRUE(prompt_refusal("SOLSET 4 0 0 ; 2 1 0 ;")
                  .starts_with("SOLSET: expected the number of rows of A (1 to 8)"));
  EXPECT_EQ(prompt_refusal("UNDO 1 2 ; 0 0 ; SUB R2 R2 3 ;"), "UNDO: operation 1 takes R2 from itself");
  EXPECT_EQ(prompt_refusal("UNDO 1 2 ; 0 0 ; SUB R3 R1 3 ;"),
            "UNDO: operation 1 should read \"SUB Ri Rj factor ;\" with rows R1..R2");
  EXPECT_EQ(prompt_refusal("UNDO 1 ; 0 ; SUB R2 R1 3 ;"),
            "UNDO: expected [R|d] with at least two columns, got one");
  EXPECT_EQ(prompt_refusal("MEMBER 1 ; 2 ;"), "MEMBER: expected [A|b] with at least two columns, got one");
  EXPECT_EQ(prompt_refusal("MEMBER_RULE NONE"),
            "MEMBER_RULE: expected \";\" after NONE, then nothing or the rows of A");
  EXPECT_EQ(prompt_refusal("MEMBER_RULE SOLSET 1 2 ; 0 0 ;"),
            "MEMBER_RULE: special solution 1 is the zero vector");
}

TEST(ExamFamilyInput, RefusesItemsWithMissingOrWrongFields) {
  EXPECT_EQ(item_refusal(null_space(), "{}"), "given.A is missing");
  EXPECT_EQ(item_refusal(null_space(), "[]"), "given: expected an object, got array");
  EXPECT_EQ(item_refusal(column_space(), R"({"A": [[1, 0.5]]})"),
            "given.A: expected whole numbers below 2^63 or \"p/q\" strings, got 0.5");
  EXPECT_EQ(item_refusal(block(), R"({"A": [[1]], "block_pattern": "[[A,0],[0,A]]"})"),
            "given.block_pattern: expected \"[[A,A],[A,A]]\", got \"[[A,0],[0,A]]\"");
  EXPECT_EQ(item_refusal(fact_count(), R"({"m": 3, "n": 5})"), "given.rank is missing");
  EXPECT_EQ(item_refusal(fact_count(), R"({"m": "3", "n": 5, "rank": 3})"),
            "given.m: expected a whole number from 1 to 60, got \"3\"");
  EXPECT_EQ(item_refusal(fact_spaces(), R"({"m": 3, "n": 5, "rank": 4})"),
            "FACT_SPACES: expected a rank from 0 to 3, got 4");
  EXPECT_EQ(item_refusal(solution_set(), R"({"A_shape": [3, 2], "particular": [4, 0, 0], "special": []})"),
            "given.A_shape: expected [rows up to 8, 3], got [3,2]");
  EXPECT_EQ(item_refusal(solution_set(), R"({"A_shape": [3, 3], "special": []})"),
            "given.particular is missing");
  EXPECT_EQ(item_refusal(undo(), R"({"R": [[1]], "d": [1, 2], "operations": []})"),
            "given.d: expected 1 entries, got 2");
  EXPECT_EQ(item_refusal(undo(), R"({"R": [[1], [0]], "d": [1, 2], "operations": {}})"),
            "given.operations: expected a list, got object");
  EXPECT_EQ(item_refusal(
                undo(),
                R"({"R": [[1], [0]], "d": [1, 2], "operations": [{"target": 3, "source": 1, "factor": 1}]})"),
            "given.target: expected a whole number from 1 to 2, got 3");
  EXPECT_EQ(
      item_refusal(undo(), R"({"R": [[1], [0]], "d": [1, 2], "operations": [{"target": 2, "source": 1}]})"),
      "given.factor is missing");
  EXPECT_EQ(item_refusal(member(), R"({"A": [[1], [2]], "b": [1]})"), "given.b: expected 2 entries, got 1");
  EXPECT_EQ(item_refusal(member_rule(), "{}"),
            "given: expected \"A\", \"particular\" or \"solutions\", found none of them");
  EXPECT_EQ(item_refusal(member_rule(), "null"), "given: expected an object, got null");
  EXPECT_EQ(item_refusal(member_rule(), R"({"solutions": "many"})"),
            "given.solutions: expected \"none\" for what else is given, got \"many\"");
  EXPECT_EQ(item_refusal(member_rule(), R"({"particular": [1, 2], "special": [[1]]})"),
            "MEMBER_RULE: row 2 has 1 entries, row 1 has 2");
  EXPECT_TRUE(item_refusal(null_space(), R"({"A": [[99]]})").starts_with("99 is outside the vocabulary"));
}

TEST(ExamFamilyInput, ReadsVariants) {
  EXPECT_EQ(prompt_of(member_rule(), R"({"A": [[2, 1], [6, 5], [2, 4]]})"), "MEMBER_RULE 2 1 ; 6 5 ; 2 4 ;");
  EXPECT_EQ(prompt_of(member_rule(), R"({"solutions": "none"})"), "MEMBER_RULE NONE ;");
  EXPECT_EQ(prompt_of(member_rule(), R"({"solutions": "none", "A": [[1, 2]]})"), "MEMBER_RULE NONE ; 1 2 ;");
  EXPECT_EQ(prompt_of(member_rule(), R"({"solutions": "one", "particular": [3, "1/2"], "special": []})"),
            "MEMBER_RULE SOLSET 3 1 /2 ;");
  EXPECT_EQ(prompt_of(member_rule(), R"({"particular": [4, 0], "special": [[2, 1]]})"),
            "MEMBER_RULE SOLSET 4 0 ; 2 1 ;");
  EXPECT_EQ(prompt_of(undo(), R"({"R": [[1], [0]], "d": [1, 2], "operations": []})"), "UNDO 1 1 ; 0 2 ;");
  EXPECT_EQ(
      prompt_of(
          undo(),
          R"({"R": [[1], [0]], "d": [1, 2], "operations": [{"target": 2, "source": 1, "factor": "1/2"}]})"),
      "UNDO 1 1 ; 0 2 ; SUB R2 R1 1 /2 ;");
  EXPECT_EQ(prompt_of(solution_set(), R"({"A_shape": [2, 2], "particular": [4, 1], "special": []})"),
            "SOLSET 2 ; 4 1 ;");
  EXPECT_EQ(member_rule().canonical(words_of("MEMBER_RULE NONE ;")), "MEMBER_RULE|NONE");
  EXPECT_EQ(fact_count().canonical(words_of("FACT_COUNT 4 4 2 ;")),
            fact_spaces().canonical(words_of("FACT_SPACES 4 4 2 ;")));
}

// The smallest problems, and the ones with nothing to find.
TEST(ExamFamilyInput, SolvesTheDegenerateProblems) {
  const auto answer = [](const std::string& prompt) {
    const Words words = words_of(prompt);
    const Family& family = find_family(words[0]);
    const Words output = family.solve(words, ChainFormat::prod);
    EXPECT_TRUE(family.judge(words, output, ChainFormat::prod).chain_valid) << join_words(output);
    return join_words(family.solve(words, ChainFormat::answer_only));
  };
  EXPECT_EQ(answer("NULL 0 ;"), "ANS 1 ; EOS");
  EXPECT_EQ(answer("NULL 2 ;"), "ANS NONE EOS");
  EXPECT_EQ(answer("COLSP 0 0 ; 0 0 ;"), "ANS POINT 0 2 ; EOS");
  EXPECT_EQ(answer("COLSP 3 ;"), "ANS WHOLE 1 1 ; 3 ; EOS");
  EXPECT_EQ(answer("BLOCK 3 ;"), "ANS 1 1 ; 0 0 ; EOS");
  EXPECT_EQ(answer("SOLSET 2 ; 5 ; 1 ;"), "ANS 0 0 ; 0 0 ; EOS");
  EXPECT_EQ(answer("UNDO 1 2 ;"), "ANS 1 ; : 1 2 ; EOS");
  EXPECT_EQ(answer("FACT_SPACES 1 1 0 ;"), "ANS POINT 0 1 ; WHOLE 1 1 ; EOS");
  EXPECT_EQ(answer("MEMBER 0 0 ; 0 0 ;"), "ANS YES 0 ; EOS");
  EXPECT_EQ(answer("MEMBER 0 0 ; 0 3 ;"), "ANS NO 0 1 ; EOS");
  EXPECT_EQ(answer("MEMBER_RULE NONE ;"), "ANS NONE NO ; EOS");
  EXPECT_EQ(answer("MEMBER_RULE 0 ;"), "ANS NONE NO ; UNIQUE YES INDEPENDENT ; MANY YES DEPENDENT ; EOS");
  const auto right = [](const std::string& prompt, const std::string& output) {
    const Words words = words_of(prompt);
    return find_family(words[0]).judge(words, words_of(output), ChainFormat::answer_only).answer_right;
  };
  EXPECT_TRUE(right("NULL 2 ;", "ANS 0 ; EOS"));
  EXPECT_FALSE(right("NULL 0 ;", "ANS 0 ; EOS"));
  EXPECT_FALSE(right("NULL 0 ;", "ANS NONE EOS"));
  EXPECT_TRUE(right("COLSP 3 ;", "ANS WHOLE 1 1 ; EOS"));
  EXPECT_TRUE(right("COLSP 3 ;", "ANS LINE 1 1 ; EQ EOS"));
  EXPECT_TRUE(right("COLSP 0 0 ; 0 0 ;", "ANS POINT 0 2 ; EQ 1 1 ; 1 -1 ; EOS"));
  EXPECT_FALSE(right("COLSP 0 0 ; 0 0 ;", "ANS POINT 0 2 ; EQ 1 1 ; EOS"));
}

}  // namespace
}  // namespace giantrabbit::data
