// Items in the formats of their communities: read, checked against their own answers, refused by name.
#include "data/community_items.h"

#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "data/item_file.h"
#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

template <typename Read>
std::string refusal(Read read) {
  try {
    (void)read();
  } catch (const ProblemError& error) {
    return error.what();
  }
  return "accepted";
}

ItemFile read_text(const std::string& text) {
  const auto file =
      std::filesystem::temp_directory_path() / ("giantrabbit_community_" + std::to_string(::getpid()));
  std::ofstream(file) << text;
  ItemFile items = read_items(file);
  std::filesystem::remove(file);
  return items;
}

TEST(CommunityItems, ReadsMultiplicationLines) {
  EXPECT_EQ(read_multiplication_line("1 7 * 1 3||1 7 0 + 0 3 1 2 #### 1 0 2 2\r").prompt,
            words_of("MUL 1 7 * 1 3 ;"));
  EXPECT_EQ(read_multiplication_line("1 7 * 1 3||").prompt, words_of("MUL 1 7 * 1 3 ;"));
  EXPECT_EQ(refusal([] { return read_multiplication_line("1 7 * 1 3||1 7 0 #### 1 0 2 3"); }),
            "the item's own answer \"1 0 2 3\" is not right, expected \"1 0 2 2\"");
  EXPECT_NE(refusal([] { return read_multiplication_line("17 * 13||"); }).find("MUL: expected digits"),
            std::string::npos);
  EXPECT_NE(refusal([] { return read_multiplication_line("17 * 13"); }).find("question||chain"),
            std::string::npos);
}

TEST(CommunityItems, ReadsListOpsLinesInBothOrders) {
  const Words prompt = words_of("LISTOPS [MAX 2 9 [MIN 4 7 ] 0 ] ;");
  EXPECT_EQ(read_list_ops_line("9\t[MAX 2 9 [MIN 4 7 ] 0 ]").prompt, prompt);
  EXPECT_EQ(read_list_ops_line("( ( ( ( ( [MAX 2 ) 9 ) ( ( ( [MIN 4 ) 7 ) ] ) ) 0 ) ] )\t9").prompt, prompt);
  EXPECT_NE(refusal([] { return read_list_ops_line("8\t[MAX 2 9 ]"); }).find("expected \"9\""),
            std::string::npos);
  EXPECT_NE(refusal([] { return read_list_ops_line("[MAX 2 9 ]"); }).find("a digit, a tab"),
            std::string::npos);
  EXPECT_NE(refusal([] { return read_list_ops_line("9\t[AVG 2 9 ]"); }).find("[AVG"), std::string::npos);
}

nlohmann::json question(const std::string& statements, const std::string& answer) {
  return {{"question", statements}, {"answer", answer}, {"steps", {"Every a is a b."}}};
}

TEST(CommunityItems, ReadsQuestionsAboutGraphs) {
  const std::string text =
      "Every yumpus is a rompus. Tom is a yumpus. Every sterpus is an impus. Is Tom an impus or rompus?";
  EXPECT_EQ(read_graph_question(question(text, "Tom is a rompus.")).prompt,
            words_of("PATH 2 4 1 ; 0 1 2 0 3 4 ;"));
  EXPECT_NE(
      refusal([&] { return read_graph_question(question(text, "Tom is an impus.")); }).find("is not right"),
      std::string::npos);
  EXPECT_NE(
      refusal([&] { return read_graph_question(question("Tom is a yumpus.", "x")); }).find("expected \"Is"),
      std::string::npos);
  EXPECT_NE(refusal([&] { return read_graph_question(question("Tom likes a yumpus.", "x")); }).find("likes"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              return read_graph_question({{"question", 3}});
            }).find("\"question\""),
            std::string::npos);
}

TEST(CommunityItems, FilesKeepTheirBadLines) {
  const ItemFile multiplication = read_text("1 7 * 1 3||x #### 1 0 2 2\n\n1 7 1 3||\n2 * 3||6 #### 6 0\n");
  EXPECT_EQ(multiplication.problems.size(), 2U);
  ASSERT_EQ(multiplication.refused.size(), 1U);
  EXPECT_EQ(multiplication.refused[0].id, "line 3");
  EXPECT_EQ(multiplication.problems[1].id, "line 4");

  const ItemFile list_ops = read_text("Source\tTarget\n[MAX 1 2 ]\t2\n[MAX 1 2\t2\n[SM 5 6 ]\t1\n");
  EXPECT_EQ(list_ops.problems.size(), 2U);
  ASSERT_EQ(list_ops.refused.size(), 1U);
  EXPECT_EQ(list_ops.refused[0].id, "line 3");

  const ItemFile no_title = read_text("5\t5\n[SM 9 9 ]\t8\n");
  EXPECT_EQ(no_title.problems.size(), 1U);
  ASSERT_EQ(no_title.refused.size(), 1U) << "a first line with a label is an item, not a title";
  EXPECT_EQ(no_title.refused[0].id, "line 1");
  EXPECT_EQ(read_text("[SM 9 9 \tx\n[SM 9 9 ]\t8\n").refused.size(), 1U) << "nor is one with an expression";

  const auto good = question("Every a1 is a b1. Tom is a a1. Is Tom a b1 or c1?", "Tom is a b1.");
  const ItemFile graphs = read_text(nlohmann::json{good, {{"question", "Why?"}, {"answer", "x"}}}.dump());
  EXPECT_EQ(graphs.problems.size(), 1U);
  ASSERT_EQ(graphs.refused.size(), 1U);
  EXPECT_EQ(graphs.refused[0].id, "item 2");
}

}  // namespace
}  // namespace giantrabbit::data
