// Gauss-Jordan over GF(2) and GF(3): the reduced form against elimination on plain integers, chains of all
// lengths, planted faults, matrices far larger than those of row reduction.
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/words.h"
#include "tests/data/domain_checks.h"
#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

using Rows = std::vector<std::vector<int>>;

Rows rows_of_words(std::span<const std::string> words) {
  Rows rows(1);
  for (const std::string& word : words) {
    if (word == ";") {
      rows.emplace_back();
    } else {
      rows.back().push_back(std::stoi(word));
    }
  }
  rows.pop_back();
  return rows;
}

// The textbook way: every pivot row is scaled and cleared out of all other rows at once.
Rows reduced(Rows rows, int prime) {
  size_t place = 0;
  for (size_t column = 0; column < rows[0].size() && place < rows.size(); ++column) {
    size_t found = place;
    while (found < rows.size() && rows[found][column] == 0) ++found;
    if (found == rows.size()) continue;
    std::swap(rows[place], rows[found]);
    const int pivot = rows[place][column];
    for (int& entry : rows[place]) entry = entry * pivot % prime;  // 1 / pivot = pivot for 2 and 3
    for (size_t i = 0; i < rows.size(); ++i) {
      const int factor = rows[i][column];
      for (size_t j = 0; i != place && j < rows[i].size(); ++j) {
        rows[i][j] = (rows[i][j] + (prime - factor) * rows[place][j]) % prime;
      }
    }
    ++place;
  }
  return rows;
}

bool answer_is_right(const Words& prompt, const Words& answer) {
  const int prime = prompt[0] == "GF2" ? 2 : 3;
  return rows_of_words(answer) == reduced(rows_of_words(std::span(prompt).subspan(1)), prime);
}

TEST(GaussJordan, GeneratesAndSolves) {
  for (const char* task : {"gauss-jordan-gf2", "gauss-jordan-gf3"}) {
    domain_checks::expect_sound_generator(task, 300, answer_is_right);
    domain_checks::expect_cut_outputs_truncated(task);
  }
  domain_checks::expect_sound_generator("gauss-jordan-gf2-16", 3, answer_is_right);
  domain_checks::expect_sound_generator("gauss-jordan-gf3-32", 1, answer_is_right);
}

// Another operation with the same effect (a swap with an equal row, a row from which nothing or an equal row
// is subtracted) is a valid step.
TEST(GaussJordan, JudgesOneWordChanges) {
  const auto other_operation = [](const Words&, const Words& output) {
    return output[0] == "SUB" || output[0] == "SW" || output[0] == "DIV";
  };
  for (const char* task : {"gauss-jordan-gf2", "gauss-jordan-gf3"}) {
    domain_checks::expect_mutations_judged(task, 12, answer_is_right, other_operation);
  }
}

TEST(GaussJordan, SurvivesGarbageAndMeetsEveryErrorClass) {
  for (const char* task : {"gauss-jordan-gf2", "gauss-jordan-gf3"}) {
    auto seen = domain_checks::judge_garbage(task, 3000);
    for (const ErrorClass error : {ErrorClass::none, ErrorClass::format, ErrorClass::arithmetic,
                                   ErrorClass::policy, ErrorClass::final_copy, ErrorClass::truncated}) {
      EXPECT_GT(seen[error], 5) << task << " " << error_class_name(error);
    }
  }
}

TEST(GaussJordan, WritesAWorkedExample) {
  const Words prompt = words_of("GF3 0 1 2 ; 2 1 0 ;");
  const Family& family = find_family("GF3");
  EXPECT_EQ(join_words(family.solve(prompt, ChainFormat::delta)),
            "SW R1 R2 : NL SUB R1 R2 1 : 2 0 1 NL DIV R1 2 : 1 0 2 NL ANS 1 0 2 ; 0 1 2 ; EOS");
  EXPECT_EQ(join_words(family.solve(prompt, ChainFormat::prod)),
            "SW R1 R2 : NL SUB R1 R2 1 : 0 2 1 0 2 1 NL DIV R1 2 : 1 0 2 NL ANS 1 0 2 ; 0 1 2 ; EOS");
}

Verdict judge_delta(const std::string& prompt, const std::string& output) {
  return find_family("GF3").judge(words_of(prompt), words_of(output), ChainFormat::delta);
}

TEST(GaussJordan, NamesTheFirstFault) {
  const std::string prompt = "GF3 1 1 2 ; 2 1 0 ;";
  const std::string first = "SUB R2 R1 2 : 0 2 2 NL ";
  const std::string rest = "DIV R2 2 : 0 1 1 NL SUB R1 R2 1 : 1 0 1 NL ";
  const std::string answer = "ANS 1 0 1 ; 0 1 1 ; EOS";
  EXPECT_EQ(judge_delta(prompt, first + rest + answer).error, ErrorClass::none);
  EXPECT_EQ(judge_delta(prompt, "SUB R2 R1 2 : 0 2 1 NL " + rest + answer).error, ErrorClass::arithmetic);
  EXPECT_EQ(judge_delta(prompt, first + answer).error, ErrorClass::policy);
  EXPECT_EQ(judge_delta(prompt, first + rest + "ANS 1 0 2 ; 0 1 1 ; EOS").error, ErrorClass::final_copy);
  const Verdict stale = judge_delta(prompt, first + "SUB R1 R2 2 : 0 2 2 NL " + answer);
  EXPECT_EQ(stale.error, ErrorClass::stale_row) << "R1 - 2 times the first R2";
  const Verdict outside = judge_delta(prompt, "SUB R2 R1 2 : 0 2 5 NL " + answer);
  EXPECT_EQ(outside.error, ErrorClass::format);
  EXPECT_EQ(outside.steps[0].reason, "column 3: 5 is not in GF(3)");
  EXPECT_EQ(judge_delta(prompt, "SUB R2 R1 -1 : 0 2 2 NL").steps[0].reason, "the factor -1 is not in GF(3)");
  EXPECT_EQ(judge_delta(prompt, "DIV R2 0 : 0 2 2 NL").steps[0].reason, "a row cannot be divided by 0");
  // A slip that is used rightly later is one fault.
  const Verdict slip = judge_delta(prompt, "SUB R2 R1 2 : 0 2 1 NL DIV R2 2 : 0 1 2 NL " + answer);
  ASSERT_EQ(slip.steps.size(), 2U);
  EXPECT_FALSE(slip.steps[0].valid);
  EXPECT_TRUE(slip.steps[1].valid);
}

TEST(GaussJordan, RefusesWhatIsNoMatrixOfResidues) {
  for (const char* text : {"GF2 1 2 ; 0 1", "GF3 1 -1", "GF3 1 /2", "GF2", "GF2 ; ", "GF3 1 2 ; 1"}) {
    EXPECT_THROW((void)parse_problem(text), ProblemError) << text;
  }
  const Family& family = find_family("GF2");
  EXPECT_EQ(family.from_json(nlohmann::json::parse(R"({"A": [[1, 0], [1, 1]]})")).prompt,
            words_of("GF2 1 0 ; 1 1 ;"));
  EXPECT_THROW((void)family.from_json(nlohmann::json::parse(R"({"A": [[2]]})")), ProblemError);
}

// Rows in another order and rows times 2 are the same problem.
TEST(GaussJordan, TheCanonicalTextIgnoresOrderAndScale) {
  const Family& family = find_family("GF3");
  const std::string text = family.canonical(words_of("GF3 1 1 2 ; 2 1 0 ;"));
  EXPECT_EQ(text, family.canonical(words_of("GF3 1 2 0 ; 1 1 2 ;")));
  EXPECT_NE(text, family.canonical(words_of("GF3 1 1 2 ; 2 2 0 ;")));
  EXPECT_TRUE(text.starts_with("GF3|2x3|"));
}

// The rows of the leading block are written before the work on the others begins and named again only behind
// its downward part.
TEST(GaussJordan, IdleRowsAreNeededEarlyAndLate) {
  for (const char* task : {"needle-gf2", "needle-gf3-16"}) {
    const int idle = std::string(task) == "needle-gf2" ? 3 : 4;
    domain_checks::expect_sound_generator(task, 20, answer_is_right);
    const ExampleSource source(task, ChainFormat::delta, Split::test, 2);
    int late = 0;
    for (uint64_t index = 0; index < 20; ++index) {
      const Words prompt = source.example(index).problem.prompt;
      const Words chain = find_family(prompt[0]).solve(prompt, ChainFormat::delta);
      bool others_changed = false;
      bool upward = false;
      for (const auto& line : split_output(chain).lines) {
        const auto words = std::span(chain).subspan(static_cast<size_t>(line.begin));
        const int target = std::stoi(words[1].substr(1));
        const int source_row = words[0] == "DIV" ? target : std::stoi(words[2].substr(1));
        upward = upward || words[0] == "DIV" || (words[0] == "SUB" && target < source_row);
        const bool names_idle = std::min(target, source_row) <= idle;
        if (!upward && names_idle) {
          EXPECT_FALSE(others_changed) << join_words(chain);
        }
        others_changed = others_changed || target > idle;
        late += upward && target <= idle && source_row > idle;
      }
    }
    EXPECT_GT(late, 60) << task;
  }
}

// The sizes are chosen for the lengths of their chains; README and options name them.
TEST(GaussJordan, ChainsGrowWithTheCube) {
  for (const auto& [task, least, most] :
       {std::tuple{"gauss-jordan-gf3-8", 400, 750}, std::tuple{"gauss-jordan-gf3-16", 3000, 4400},
        std::tuple{"gauss-jordan-gf3-28", 15000, 21000}, std::tuple{"gauss-jordan-gf2-32", 16384, 23000}}) {
    const ExampleSource source(task, ChainFormat::delta, Split::test, 1);
    const auto words = std::ssize(source.example(0).target);
    EXPECT_GT(words, least) << task;
    EXPECT_LT(words, most) << task;
  }
}

}  // namespace
}  // namespace giantrabbit::data
