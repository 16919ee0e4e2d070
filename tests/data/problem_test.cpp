// Problems as text: names of formats and errors, the registry, and every message of parse_problem().
#include "data/problem.h"

#include <gtest/gtest.h>

#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

std::string refusal(const std::string& text) {
  try {
    (void)parse_problem(text);
  } catch (const ProblemError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Problem, ReadsEveryWayToWriteIt) {
  const Words expected = words_of("RREF 0 1 2 2 ; 0 3 8 7 ; 0 0 4 1 /2 ;");
  for (const char* text : {"RREF 0 1 2 2 ; 0 3 8 7 ; 0 0 4 1 /2 ;", "RREF 0 1 2 2 ; 0 3 8 7 ; 0 0 4 1/2",
                           "  RREF 0 1 2 2;0 3 8 7;\n0 0 4 1/2;\t"}) {
    EXPECT_EQ(parse_problem(text).prompt, expected) << text;
  }
  EXPECT_TRUE(parse_problem("RREF 1 2 ;").id.empty());
}

TEST(Problem, RefusesWithASentence) {
  EXPECT_EQ(refusal(""), "the problem is empty; expected a family's name and its values");
  EXPECT_EQ(refusal(" \n"), "the problem is empty; expected a family's name and its values");
  EXPECT_TRUE(refusal("rref 1 2 ;").starts_with("unknown family \"rref\"; known are RREF"));
  EXPECT_TRUE(refusal(";").starts_with("unknown family \";\""));
  EXPECT_TRUE(
      refusal("RREF 61 2 ;").starts_with("\"61\" is not a word of the vocabulary (whole numbers -60..60"));
  EXPECT_TRUE(refusal("RREF 1.5 2 ;").starts_with("\"1.5\" is not a word of the vocabulary"));
  EXPECT_TRUE(refusal("RREF 1/10 2 ;").starts_with("\"/10\" is not a word of the vocabulary"));
  EXPECT_EQ(refusal("RREF"), "RREF: row 1 is empty");
  EXPECT_EQ(refusal("RREF ; 1 2 ;"), "RREF: row 1 is empty");
  EXPECT_EQ(refusal("RREF 1 2 ; 3 ;"), "RREF: row 2 has 1 entries, row 1 has 2");
  EXPECT_EQ(refusal("RREF 1 2 : 3 4"), "RREF: expected a value or \";\" in row 1, got \":\"");
  EXPECT_EQ(refusal("RREF 1 /2 /3 ;"), "RREF: expected a value or \";\" in row 1, got \"/3\"");
  EXPECT_EQ(refusal("RREF 1 2 3 4 5 6 7 8 9"), "RREF: expected at most 8 rows and 8 columns, got 1x9");
  EXPECT_EQ(refusal("RREF 1;2;3;4;5;6;7;8;9"), "RREF: expected at most 8 rows and 8 columns, got 9x1");
  EXPECT_EQ(refusal("RREF 1 9 ; 7 2"),
            "RREF: the row reduction of this matrix meets 63, outside the vocabulary (numerators -60..60, "
            "denominators up to 9)");
}

// A few thousand words once asked for gigabytes: solutions grow with the square of these problems.
TEST(Problem, HostileShortTextsWithEndlessSolutions) {
  const auto repeated = [](const std::string& word, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += word;
    return text;
  };
  EXPECT_EQ(refusal("SORT " + repeated("1 ", 257)), "SORT: expected at most 256 values, got 257");
  EXPECT_EQ(refusal("SORT " + repeated("1 ", 256)), "accepted");
  EXPECT_TRUE(refusal("MUL " + repeated("1 ", 129) + "* 1")
                  .starts_with("MUL: expected digits of two numbers, least significant first, at most 128"));
  EXPECT_EQ(refusal("MUL " + repeated("1 ", 128) + "* 1"), "accepted");
  EXPECT_EQ(refusal("ADD " + repeated("1 ", 4096) + "+ 1"), "accepted");
}

TEST(Problem, SurvivesReductionsBeyond64Bits) {
  // Eight rows of large unrelated fractions: exact elimination needs far more than 64 bits.
  std::string text = "RREF";
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 8; ++j) {
      text += " " + std::to_string((i * 37 + j * 53 + i * j * 29 + i * i * 7) % 121 - 60) + "/" +
              std::to_string(2 + (i * 5 + j * 3) % 8);
    }
    text += " ;";
  }
  EXPECT_TRUE(refusal(text).starts_with("RREF: the row reduction of this matrix meets")) << refusal(text);
}

TEST(Problem, ReadsTheWordsOfItsOwnFamilyOnly) {
  EXPECT_EQ(parse_problem("GF2 1 0 ; 1 1").prompt, words_of("GF2 1 0 ; 1 1 ;"));
  EXPECT_NE(refusal("RREF 1 R9 ; 1 1").find("\"R9\" is not a word of the vocabulary"), std::string::npos);
}

TEST(Problem, NamesFormatsAndErrors) {
  for (const ChainFormat format : {ChainFormat::prod, ChainFormat::delta, ChainFormat::answer_only}) {
    EXPECT_EQ(parse_chain_format(chain_format_name(format)), format);
  }
  try {
    (void)parse_chain_format("full");
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "chain format: expected prod, delta, answer_only, got \"full\"");
  }
  EXPECT_EQ(error_class_name(ErrorClass::stale_row), "stale_row");
  EXPECT_EQ(error_class_name(ErrorClass::truncated), "truncated");
}

TEST(Problem, RegistersRowReductionFirstAndFindsEveryFamily) {
  ASSERT_EQ(exam_families().size(), 9U);
  EXPECT_EQ(all_families()[0]->name(), "RREF");
  for (size_t i = 0; i < exam_families().size(); ++i) EXPECT_EQ(all_families()[1 + i], exam_families()[i]);
  for (const Family* family : all_families()) {
    EXPECT_EQ(&find_family(family->name()), family);
    EXPECT_FALSE(family->summary().empty());
  }
  EXPECT_THROW((void)find_family("rref"), ProblemError);
}

}  // namespace
}  // namespace giantrabbit::data
