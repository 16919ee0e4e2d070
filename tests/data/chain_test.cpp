// Chains: the worked example word for word in both formats, and the reader's verdict on right, wrong, stale,
// broken and unusual lines.
#include "data/chain.h"

#include <gtest/gtest.h>

#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

Matrix worked_example() { return Matrix::from_rows({{0, 1, 2, 2}, {0, 3, 8, 7}, {0, 0, 4, 2}}); }

std::vector<StepVerdict> read_all(const Matrix& start, ChainFormat format, const std::string& text) {
  const Words output = words_of(text);
  ChainReader reader(start, format);
  std::vector<StepVerdict> verdicts;
  for (const auto& line : split_output(output).lines) verdicts.push_back(reader.read(output, line));
  return verdicts;
}

TEST(Chain, WritesTheWorkedExampleWordForWord) {
  const Matrix start = worked_example();
  const Reduction reduction = reduce(start);
  Words prod, delta, none;
  append_chain(prod, start, reduction.operations, ChainFormat::prod);
  append_chain(delta, start, reduction.operations, ChainFormat::delta);
  append_chain(none, start, reduction.operations, ChainFormat::answer_only);
  EXPECT_EQ(join_words(prod),
            "SUB R2 R1 3 : 0 0 3 0 6 2 6 1 NL SUB R3 R2 2 : 0 0 0 0 4 0 2 0 NL "
            "DIV R2 2 : 0 0 1 1 /2 NL SUB R1 R2 2 : 0 0 0 1 2 0 1 1 NL");
  EXPECT_EQ(
      join_words(delta),
      "SUB R2 R1 3 : 0 0 2 1 NL SUB R3 R2 2 : 0 0 0 0 NL DIV R2 2 : 0 0 1 1 /2 NL SUB R1 R2 2 : 0 1 0 1 NL");
  // With "PIV 2 3 NL FREE 1 4 NL" and the 13 words of the special solutions: 73 and 61.
  EXPECT_EQ(prod.size() + 8 + 13, 73U);
  EXPECT_EQ(delta.size() + 8 + 13, 61U);
  EXPECT_TRUE(none.empty());
}

TEST(Chain, WritesSwapsAndFractionalFactors) {
  const Matrix start = Matrix::from_rows({{0, 1}, {2, 5}, {3, 1}});
  Words words;
  append_chain(words, start, reduce(start).operations, ChainFormat::prod);
  EXPECT_EQ(join_words(words).substr(0, 14), "SW R1 R2 : NL ");
  EXPECT_EQ(join_words(words).substr(14, 39), "SUB R3 R1 3 /2 : 3 0 15 /2 -13 /2 NL SU");
}

TEST(Chain, RefusesToWriteValuesWithoutWords) {
  Words words;
  Matrix state = Matrix::from_rows({{1, 9}, {7, 2}});
  EXPECT_THROW(append_operation(words, {Operation::Kind::subtract, 1, 0, 7}, state, ChainFormat::prod),
               ProblemError);
}

TEST(Chain, SurveysWhatTheChainMeets) {
  const Matrix start = worked_example();
  const ChainSurvey survey = survey_chain(start, reduce(start).operations);
  EXPECT_FALSE(survey.outside.has_value());
  EXPECT_TRUE(survey.fraction);
  EXPECT_TRUE(survey.subtract_fraction == false)
      << "2 * 1/2 = 1: products and entries of the last line are whole";
  EXPECT_EQ(survey.largest, 8);
  const Matrix wide = Matrix::from_rows({{1, 9}, {7, 2}});
  EXPECT_EQ(survey_chain(wide, reduce(wide).operations).outside, Rational(63));
}

TEST(ChainReader, AcceptsTheReferenceInBothFormats) {
  const Matrix start = worked_example();
  const Reduction reduction = reduce(start);
  for (const ChainFormat format : {ChainFormat::prod, ChainFormat::delta}) {
    Words words;
    append_chain(words, start, reduction.operations, format);
    ChainReader reader(start, format);
    for (const auto& line : split_output(words).lines) {
      const StepVerdict verdict = reader.read(words, line);
      EXPECT_TRUE(verdict.valid) << verdict.reason;
      EXPECT_TRUE(verdict.reason.empty());
    }
    EXPECT_EQ(reader.state(), reduction.rref);
  }
}

TEST(ChainReader, AcceptsOtherOperationsThatAreRight) {
  const Matrix start = Matrix::from_rows({{2, 4}, {1, 5}});
  for (const char* line : {"SW R1 R2 : NL", "DIV R1 -2 : -1 -2 NL", "SUB R1 R2 1 /2 : 3 /2 3 /2 NL",
                           "SUB R1 R2 0 : 2 4 NL", "DIV R1 4 : 2 /4 1 NL"}) {
    const auto verdicts = read_all(start, ChainFormat::delta, line);
    ASSERT_EQ(verdicts.size(), 1U);
    EXPECT_TRUE(verdicts[0].valid) << line << ": " << verdicts[0].reason;
  }
}

TEST(ChainReader, NamesTheFirstWrongEntry) {
  const auto product = read_all(worked_example(), ChainFormat::prod, "SUB R2 R1 3 : 0 0 4 0 6 2 6 1 NL");
  EXPECT_EQ(product[0].error, ErrorClass::arithmetic);
  EXPECT_EQ(product[0].reason, "R2 column 2: the product should be 3, written 4");
  const auto entry = read_all(worked_example(), ChainFormat::prod, "SUB R2 R1 3 : 0 0 3 0 6 1 6 1 NL");
  EXPECT_EQ(entry[0].error, ErrorClass::arithmetic);
  EXPECT_EQ(entry[0].reason, "R2 column 3: the entry should be 2, written 1");
}

TEST(ChainReader, ContinuesWithWhatWasWritten) {
  // The first line is wrong in column 3 (1 instead of 2); the second is right for the row as written.
  const auto verdicts =
      read_all(worked_example(), ChainFormat::delta,
               "SUB R2 R1 3 : 0 0 1 1 NL SUB R3 R2 4 : 0 0 0 -2 NL SUB R3 R2 2 : 0 0 0 0 NL");
  ASSERT_EQ(verdicts.size(), 3U);
  EXPECT_EQ(verdicts[0].error, ErrorClass::arithmetic);
  EXPECT_TRUE(verdicts[1].valid) << verdicts[1].reason;
  EXPECT_FALSE(verdicts[2].valid);
}

TEST(ChainReader, RecognisesStaleRows) {
  // The second line uses row 2 as it was in the prompt: 0 0 4 2 - 1/2 * (0 3 8 7) = 0 -3/2 0 -3/2.
  const auto source = read_all(worked_example(), ChainFormat::delta,
                               "SUB R2 R1 3 : 0 0 2 1 NL SUB R3 R2 1 /2 : 0 -3 /2 0 -3 /2 NL");
  EXPECT_TRUE(source[0].valid);
  EXPECT_EQ(source[1].error, ErrorClass::stale_row);
  // The target as it was in the prompt.
  const auto target = read_all(worked_example(), ChainFormat::prod,
                               "SUB R2 R1 3 : 0 0 3 0 6 2 6 1 NL SUB R2 R1 1 : 0 0 1 2 2 6 2 5 NL");
  EXPECT_EQ(target[1].error, ErrorClass::stale_row);
  const auto divided =
      read_all(worked_example(), ChainFormat::delta, "DIV R3 2 : 0 0 2 1 NL DIV R3 4 : 0 0 1 1 /2 NL");
  EXPECT_EQ(divided[1].error, ErrorClass::stale_row);
  const auto swapped =
      read_all(worked_example(), ChainFormat::delta, "SW R1 R2 : NL DIV R1 2 : 0 1 /2 1 1 NL");
  EXPECT_EQ(swapped[1].error, ErrorClass::stale_row);
}

TEST(ChainReader, CallsBrokenLinesFormatErrorsAndKeepsTheState) {
  for (const char* line : {"NL",
                           "MUL R1 2 : 0 2 4 4 NL",
                           "SUB R2 R2 3 : 0 0 0 0 NL",
                           "SUB R2 R4 3 : 0 0 2 1 NL",
                           "SUB R4 R1 3 : 0 0 2 1 NL",
                           "SUB R2 3 : 0 0 2 1 NL",
                           "SUB R2 R1 : 0 0 2 1 NL",
                           "SUB R2 R1 3 0 0 2 1 NL",
                           "SUB R2 R1 3 : 0 0 2 NL",
                           "SUB R2 R1 3 : 0 0 2 1 5 NL",
                           "SUB R2 R1 3 : 0 0 x 1 NL",
                           "DIV R1 0 : 0 1 2 2 NL",
                           "SW R1 R1 : NL",
                           "SW R1 R2 NL",
                           "SW R1 R2 : 0 NL",
                           "R2 SUB R1 3 : 0 0 2 1 NL",
                           "SUB R2 R1 3 : : 0 0 2 1 NL",
                           "SUB R2 R1 3 : 0 0 2 1 /1 NL",
                           "PAD SUB R2 R1 3 : 0 0 2 1 NL",
                           "SUB R2 R1 3 : 0 0 2 1 ANS"}) {
    const auto verdicts = read_all(worked_example(), ChainFormat::delta, line);
    ASSERT_EQ(verdicts.size(), 1U) << line;
    EXPECT_EQ(verdicts[0].error, ErrorClass::format) << line;
    EXPECT_FALSE(verdicts[0].reason.empty()) << line;
    const auto after =
        read_all(worked_example(), ChainFormat::delta, std::string(line) + " SUB R2 R1 3 : 0 0 2 1 NL");
    if (after.size() == 2) {
      EXPECT_TRUE(after[1].valid) << line;
    }
  }
}

TEST(ChainReader, TellsCutLinesAndUnaskedChains) {
  const auto cut = read_all(worked_example(), ChainFormat::delta, "SUB R2 R1 3 : 0 0");
  EXPECT_EQ(cut[0].error, ErrorClass::truncated);
  const auto unasked = read_all(worked_example(), ChainFormat::answer_only, "SUB R2 R1 3 : 0 0 2 1 NL");
  EXPECT_EQ(unasked[0].error, ErrorClass::format);
}

TEST(ChainReader, LongGarbageTakesLinearTime) {
  std::string text;
  for (int i = 0; i < 5000; ++i)
    text += "SUB R1 R2 " + std::to_string(i % 50) + " : 1 2 3 " + std::to_string(i % 60) + " NL ";
  EXPECT_EQ(read_all(worked_example(), ChainFormat::delta, text).size(), 5000U);
}

}  // namespace
}  // namespace giantrabbit::data
