// Needs of written words against ones found by hand.
#include "eval/need.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "data/words.h"
#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

using data::ChainFormat;

data::Words words_of(const std::string& text) {
  data::Words words;
  std::string word;
  for (const char letter : text + " ") {
    if (letter != ' ') {
      word += letter;
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  return words;
}

// "p4 o7": places in order, for short expectations.
std::string text_of(std::vector<Place> places) {
  std::ranges::sort(places, [](const Place& a, const Place& b) {
    return a.in_prompt != b.in_prompt ? a.in_prompt : a.index < b.index;
  });
  std::string text;
  for (const Place& place : places) {
    text +=
        (text.empty() ? "" : " ") + std::string(place.in_prompt ? "p" : "o") + std::to_string(place.index);
  }
  return text;
}

std::string values(const std::vector<WordNeed>& needs, size_t word) { return text_of(needs.at(word).values); }
std::string header(const std::vector<WordNeed>& needs, size_t word) { return text_of(needs.at(word).header); }

//  two_rows 0 RREF 1:2 2:4 3:6 4:;  5:4 6:9 7:8 8:;
//  line 1   0 SUB 1 R2 2 R1 3:2 4 :  5:4 6:0  7:8 8:1  9:12 10:-4  11 NL
//  line 2   12 DIV 13 R1 14:2 15 :  16:1 17:2 18:3  19 NL
//  line 3   20 SUB 21 R1 22 R2 23:2 24 :  25:0 26:1  27:2 28:0  29:-8 30:11  31 NL
//  answer   32 ANS 33:1 34:0 35:11 36 ;  37:0 38:1 39:-4 40 ;  41 EOS
constexpr const char* two_rows = "RREF 2 4 6 ; 4 9 8 ;";
constexpr const char* two_rows_solved =
    "SUB R2 R1 2 : 4 0 8 1 12 -4 NL DIV R1 2 : 1 2 3 NL SUB R1 R2 2 : 0 1 2 0 -8 11 NL "
    "ANS 1 0 11 ; 0 1 -4 ; EOS";

TEST(NeedTest, ProductsAndEntriesOfTheFirstLine) {
  const data::Words written = words_of(two_rows_solved);
  ASSERT_TRUE(data::find_family("RREF").judge(words_of(two_rows), written, ChainFormat::prod).chain_valid);
  const std::vector<WordNeed> needs =
      find_needs(words_of(two_rows), words_of(two_rows_solved), ChainFormat::prod);
  EXPECT_EQ(values(needs, 3), "p1 p5");  // the factor: the lead of R1 and the entry it clears
  EXPECT_EQ(header(needs, 3), "o0 o1 o2");
  EXPECT_EQ(values(needs, 5), "p1 o3");  // 2 * 2
  EXPECT_EQ(values(needs, 6), "p5 o5");  // 4 - 4
  EXPECT_EQ(values(needs, 9), "p3 o3");
  EXPECT_EQ(values(needs, 10), "p7 o9");
  EXPECT_EQ(header(needs, 10), "o0 o1 o2");
}

TEST(NeedTest, LaterLinesReadTheLatestEntries) {
  const std::vector<WordNeed> needs =
      find_needs(words_of(two_rows), words_of(two_rows_solved), ChainFormat::prod);
  EXPECT_EQ(values(needs, 14), "p1");  // the divisor is R1's lead
  EXPECT_EQ(header(needs, 14), "o12 o13");
  EXPECT_EQ(values(needs, 18), "p3 o14");  // 6 / 2
  EXPECT_EQ(values(needs, 23), "o8 o17");  // R2's lead, written in line 1; R1's entry, written in line 2
  EXPECT_EQ(values(needs, 29), "o10 o23");
  EXPECT_EQ(values(needs, 30), "o18 o29");
}

TEST(NeedTest, TheAnswerCopiesTheLatestEntries) {
  const std::vector<WordNeed> needs =
      find_needs(words_of(two_rows), words_of(two_rows_solved), ChainFormat::prod);
  EXPECT_EQ(values(needs, 33), "o26");
  EXPECT_EQ(values(needs, 35), "o30");
  EXPECT_EQ(values(needs, 39), "o10");
  EXPECT_EQ(header(needs, 39), "");
}

TEST(NeedTest, WhatIsNotDefinedIsNotCounted) {
  const std::vector<WordNeed> needs =
      find_needs(words_of(two_rows), words_of(two_rows_solved), ChainFormat::prod);
  for (const size_t word : {0, 1, 2, 4, 11, 12, 32, 36, 41}) EXPECT_FALSE(needs[word].is_defined()) << word;
}

TEST(NeedTest, DeltaNeedsBothRowsAndTheFactor) {
  const data::Words chain = words_of("SUB R2 R1 2 : 0 1 -4 NL");
  const std::vector<WordNeed> needs = find_needs(words_of(two_rows), chain, ChainFormat::delta);
  EXPECT_EQ(values(needs, 5), "p1 p5 o3");
  EXPECT_EQ(values(needs, 7), "p3 p7 o3");
}

TEST(NeedTest, SwapsMovePlacesAndFractionsHaveTwoWords) {
  //  0 RREF 1:0 2:1 3:/2 4 ;  5:3 6:1 7 ;
  const data::Words swapped = words_of("SW R1 R2 : NL DIV R1 3 : 1 1 /3 NL SUB R1 R2 2 /3 : 0 1 1 /3 0 NL");
  const std::vector<WordNeed> needs = find_needs(words_of("RREF 0 1 /2 ; 3 1 ;"), swapped, ChainFormat::prod);
  EXPECT_EQ(values(needs, 7), "p5");  // the divisor: R1 is the prompt's second row now
  EXPECT_EQ(values(needs, 9), "p5 o7");
  EXPECT_EQ(values(needs, 10), "p6 o7");
  EXPECT_EQ(values(needs, 11), "p6 o7");  // the denominator needs what its numerator needs
  EXPECT_EQ(values(needs, 16), "p2 p3 o10 o11");
  EXPECT_EQ(values(needs, 17), "p2 p3 o10 o11");
  EXPECT_EQ(values(needs, 22), "p2 p3 o16 o17");    // 2/3 * 1/2
  EXPECT_EQ(values(needs, 23), "o10 o11 o21 o22");  // 1/3 - 1/3
}

TEST(NeedTest, AFactorThatClearsNothingHasNoNeed) {
  const data::Words chain = words_of("SUB R2 R1 3 : 6 -2 12 -3 18 -10 NL");
  const std::vector<WordNeed> needs = find_needs(words_of(two_rows), chain, ChainFormat::prod);
  EXPECT_FALSE(needs[3].is_defined());
  EXPECT_EQ(values(needs, 5), "p1 o3");
}

TEST(NeedTest, NothingBehindALineThatCannotBeRead) {
  const data::Words chain = words_of("SUB R2 R1 2 : 4 0 8 NL DIV R1 2 : 1 2 3 NL ANS 1 2 3 ; 0 0 0 ; EOS");
  const std::vector<WordNeed> needs = find_needs(words_of(two_rows), chain, ChainFormat::prod);
  EXPECT_TRUE(needs[5].is_defined());
  for (size_t word = 9; word < needs.size(); ++word) EXPECT_FALSE(needs[word].is_defined()) << word;
  // A row that is not there, an operation that is not known, an output that is cut.
  for (const char* text : {"SUB R9 R1 2 : 4 NL", "ADD R2 R1 2 : 4 NL", "SUB R2 R1", "SUB R2", "NL", ""}) {
    const std::vector<WordNeed> none = find_needs(words_of(two_rows), words_of(text), ChainFormat::prod);
    EXPECT_TRUE(std::ranges::none_of(none, &WordNeed::is_defined)) << text;
  }
}

TEST(NeedTest, OnlyFamiliesOfRowOperations) {
  const data::Words chain = words_of("SUB R2 R1 2 : 4 0 8 1 12 -4 NL PIV 1 2 NL FREE 3 NL ANS NONE EOS");
  EXPECT_TRUE(find_needs(words_of("NULL 2 4 6 ; 4 9 8 ;"), chain, ChainFormat::prod)[5].is_defined());
  EXPECT_FALSE(find_needs(words_of("UNDO 2 4 6 ; 4 9 8 ;"), chain, ChainFormat::prod)[5].is_defined());
  EXPECT_FALSE(find_needs(words_of(two_rows), chain, ChainFormat::answer_only)[5].is_defined());
}

// Every value of a reference chain and answer of row reduction has a need, and no need lies ahead.
TEST(NeedTest, ReferencesAreCoveredAndNeverLookAhead) {
  for (const data::Problem& problem : some_problems(100)) {
    for (const ChainFormat format : {ChainFormat::prod, ChainFormat::delta}) {
      const data::Words solution = data::find_family("RREF").solve(problem.prompt, format);
      const std::vector<WordNeed> needs = find_needs(problem.prompt, solution, format);
      for (size_t word = 0; word < solution.size(); ++word) {
        const char first = solution[word][0];
        const bool is_value = first == '-' || first == '/' || (first >= '0' && first <= '9');
        EXPECT_EQ(needs[word].is_defined(), is_value) << data::join_words(solution) << " word " << word;
        for (const Place& place : needs[word].values) {
          EXPECT_TRUE(place.in_prompt || place.index < static_cast<int64_t>(word));
        }
      }
    }
  }
}

}  // namespace
}  // namespace giantrabbit::eval
