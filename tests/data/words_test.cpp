// Reading values, rows and outputs back from words, well formed and not.
#include "data/words.h"

#include <gtest/gtest.h>

#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

std::optional<Rational> read_value(const std::string& text) {
  const Words words = words_of(text);
  WordReader reader(words);
  const auto value = reader.value();
  return reader.done() ? value : std::nullopt;
}

TEST(Words, ReadsValuesInAnyTerms) {
  EXPECT_EQ(read_value("-7"), Rational(-7));
  EXPECT_EQ(read_value("-7 /2"), Rational(-7, 2));
  EXPECT_EQ(read_value("2 /4"), Rational(1, 2));
  EXPECT_EQ(read_value("0 /3"), Rational(0));
  for (const char* text : {"", "/2", "61", "-61", "+1", "01", "-0", "-", "1 /1", "1 /10", "1 /0", "1 /02",
                           "1 /-2", "1/2", "x", "NL", "1 2", "1 /2 /3"}) {
    EXPECT_FALSE(read_value(text).has_value()) << text;
  }
}

TEST(Words, AFailedReadLeavesThePosition) {
  const Words words = words_of("1 2 ; R2 R9");
  WordReader reader(words);
  EXPECT_FALSE(reader.values(3).has_value());
  EXPECT_EQ(reader.position(), 0U);
  EXPECT_EQ(reader.values(2), (Vector{1, 2}));
  EXPECT_FALSE(reader.take(":"));
  EXPECT_TRUE(reader.take(";"));
  EXPECT_FALSE(reader.row(1).has_value());
  EXPECT_EQ(reader.row(2), 1);
  EXPECT_FALSE(reader.row(8).has_value());
  EXPECT_FALSE(reader.done());
}

TEST(Words, ReadsRowsOnlyWhenTheyAreWhole) {
  EXPECT_EQ(read_rows(words_of("1 0 1 /2 ; 0 1 3 ;")),
            Matrix::from_rows({{1, 0, Rational(1, 2)}, {0, 1, 3}}));
  for (const char* text : {"", ";", "1 2", "1 2 ; 3 ;", "1 2 ; ;", "1 NL 2 ;", "1 ; 2", "1 ; x ;"}) {
    EXPECT_FALSE(read_rows(words_of(text)).has_value()) << text;
  }
}

TEST(Words, CutsAnOutputIntoLinesAndAnswer) {
  const Words output = words_of("SW R1 R2 : NL DIV R1 2 : 1 NL ANS 1 ; EOS 5 ANS");
  const OutputParts parts = split_output(output);
  ASSERT_EQ(parts.lines.size(), 2U);
  EXPECT_EQ(parts.lines[1].begin, 5);
  EXPECT_EQ(parts.lines[1].end, 11);
  EXPECT_TRUE(parts.lines[1].closed);
  EXPECT_EQ(parts.chain_words, 11);
  EXPECT_TRUE(parts.has_answer);
  EXPECT_TRUE(parts.finished);
  EXPECT_EQ(Words(parts.answer.begin(), parts.answer.end()), words_of("1 ;"));
}

TEST(Words, CutsBrokenOutputsToo) {
  EXPECT_TRUE(split_output({}).lines.empty());
  EXPECT_FALSE(split_output({}).finished);
  const Words open = words_of("SW R1 R2 : NL SUB R1");
  const OutputParts parts = split_output(open);
  ASSERT_EQ(parts.lines.size(), 2U);
  EXPECT_FALSE(parts.lines[1].closed);
  EXPECT_FALSE(parts.has_answer);
  EXPECT_EQ(parts.chain_words, 7);
  const Words only_end = words_of("EOS");
  EXPECT_TRUE(split_output(only_end).finished);
  const Words late = words_of("EOS ANS 1 ;");
  EXPECT_FALSE(split_output(late).has_answer);
}

}  // namespace
}  // namespace giantrabbit::data
