// Problems for a comparison: reproducible, all different, and honest about what could not be had.
#include "eval/problem_set.h"

#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "data/atomic_file.h"

namespace giantrabbit::eval {
namespace {

TEST(ProblemSetTest, DrawsDifferentProblemsReproducibly) {
  const ProblemSet set = draw_problems("row-reduction", "test", 1, 50);
  ASSERT_EQ(set.problems.size(), 50U);
  std::set<data::Words> prompts;
  for (const data::Problem& problem : set.problems) prompts.insert(problem.prompt);
  EXPECT_EQ(prompts.size(), 50U);
  EXPECT_EQ(set.description, "50 different problems of task row-reduction, test split, seed 1");

  const ProblemSet fewer = draw_problems("row-reduction", "test", 1, 20);
  for (size_t index = 0; index < fewer.problems.size(); ++index) {
    EXPECT_EQ(fewer.problems[index].prompt, set.problems[index].prompt);
  }
  EXPECT_NE(draw_problems("row-reduction", "test", 2, 1).problems[0].prompt, set.problems[0].prompt);
  EXPECT_NE(draw_problems("row-reduction", "validation", 1, 1).problems[0].prompt, set.problems[0].prompt);
}

TEST(ProblemSetTest, SaysWhenAFamilyHasFewerProblems) {
  const ProblemSet set = draw_problems("fact-count", "test", 1, 800);
  EXPECT_GT(set.problems.size(), 0U);
  EXPECT_LT(set.problems.size(), 800U);
  EXPECT_NE(set.description.find("800 were asked for"), std::string::npos) << set.description;
}

TEST(ProblemSetTest, UnknownNames) {
  EXPECT_THROW(draw_problems("row-reductoin", "test", 1, 1), std::invalid_argument);
  EXPECT_THROW(draw_problems("row-reduction", "tset", 1, 1), std::invalid_argument);
}

TEST(ProblemSetTest, FilesKeepTheirBadItems) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "problem_set_items.jsonl";
  data::write_file_atomically(
      file,
      "{\"id\": 1, \"family\": \"RREF\", \"given\": {\"A\": [[1, 2, 3], [4, 5, 6]]}}\n"
      "{\"id\": 2, \"family\": \"RREF\", \"given\": {\"A\": [[1, 2, 3], [4, 5, 6000]]}}\n");
  const ProblemSet set = read_problems(file);
  EXPECT_EQ(set.problems.size(), 1U);
  EXPECT_EQ(set.refused.size(), 1U);
  EXPECT_NE(set.description.find("2 items of"), std::string::npos) << set.description;
  const ProblemSet readable = read_problems(file, true);
  EXPECT_EQ(readable.problems.size(), 1U);
  EXPECT_TRUE(readable.refused.empty());
  EXPECT_NE(readable.description.find("2 items of"), std::string::npos) << readable.description;
  EXPECT_NE(readable.description.find("1 that could not be read left out; 2: "), std::string::npos)
      << readable.description;
  EXPECT_THROW(problem_number(set, 2), data::ProblemError);
  data::write_file_atomically(file, "[]");
  EXPECT_THROW(read_problems(file), std::runtime_error);
  std::filesystem::remove(file);
  EXPECT_THROW(read_problems(file), std::runtime_error);
}

TEST(ProblemSetTest, NumbersAreThoseOfTheFile) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "problem_set_numbers.json";
  data::write_file_atomically(file,
                              "[{\"id\": 7, \"family\": \"WHAT\", \"given\": {}},"
                              " {\"id\": 8, \"family\": \"RREF\", \"given\": {\"A\": [[1, 2], [3, 4]]}},"
                              " {\"id\": 9, \"family\": \"RREF\", \"given\": {\"A\": [[5, 6], [7, 9]]}}]");
  const ProblemSet set = read_problems(file);
  EXPECT_EQ(problem_number(set, 2).id, "8");
  EXPECT_EQ(problem_number(set, 3).id, "9");
  const auto refusal = [&](int64_t number) -> std::string {
    try {
      problem_number(set, number);
    } catch (const data::ProblemError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(refusal(1).find("WHAT"), std::string::npos) << refusal(1);
  EXPECT_NE(refusal(4).find("among 3 items of"), std::string::npos) << refusal(4);
}

TEST(ProblemSetTest, ReasonsHoldNoForeignBytes) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "problem_set_bytes.txt";
  data::write_file_atomically(file, "1 * 2||\xff\x1b[31m #### \xfe\n");
  const ProblemSet set = read_problems(file);
  ASSERT_EQ(set.refused.size(), 1U);
  const std::string& reason = set.refused.front().reason;
  EXPECT_TRUE(reason.find_first_of("\x1b\xff\xfe") == std::string::npos) << reason;
}

TEST(ProblemSetTest, HostileNamesOfProblemsAreOneLine) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "problem_set_names.json";
  data::write_file_atomically(file,
                              R"([{"id": "a\n\u001b[31m", "family": "SORT", "given": {"list": [2, 1]}}])");
  EXPECT_EQ(read_problems(file).problems.at(0).id, "a  [31m");
}

}  // namespace
}  // namespace giantrabbit::eval
