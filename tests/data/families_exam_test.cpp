// The nine exam questions: the reference solutions against the answers of the fixture, word for word where
// the format is fixed; and generated problems of every family: right in every format, valid in every step,
// inside the vocabulary.
#include <filesystem>
#include <fstream>
#include <map>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/families/families.h"
#include "data/item_file.h"
#include "data/split.h"
#include "data/vocabulary.h"
#include "tests/data/families_oracle.h"
#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

using nlohmann::json;

json exam_items() {
  std::ifstream stream(std::filesystem::path(GR_FIXTURES) / "exam_18_06_2010_quiz1.json");
  return json::parse(stream).at("items");
}

// Values of the fixture as words.
std::string value_words(const json& list) {
  std::string text;
  for (const json& value : list) {
    std::string word = value.is_string() ? value.get<std::string>() : value.dump();
    if (const auto slash = word.find('/'); slash != std::string::npos) word.insert(slash, " ");
    text += word + " ";
  }
  return text;
}

std::string row_words(const json& lists) {
  std::string text;
  for (const json& list : lists) text += value_words(list) + "; ";
  return text;
}

std::string augmented_words(const json& lists, const json& right) {
  std::string text;
  for (size_t i = 0; i < lists.size(); ++i)
    text += value_words(lists[i]) + value_words(json::array({right[i]})) + "; ";
  return text;
}

std::string space_words(const json& space) {
  const std::map<std::string, std::string> kinds = {{"plane", "PLANE"}, {"whole_space", "WHOLE"}};
  return kinds.at(space["kind"]) + " " + space["dimension"].dump() + " " + space["ambient"].dump() + " ; ";
}

// The fixture's answer in the family's words.
std::string expected_answer(const std::string& family, const json& answer) {
  if (family == "SOLSET") return augmented_words(answer["R"], answer["d"]);
  if (family == "UNDO") return row_words(answer["E"]) + ": " + augmented_words(answer["A"], answer["b"]);
  if (family == "NULL") return row_words(answer["special_solutions"]);
  if (family == "COLSP") return space_words(answer) + row_words(answer["basis"]);
  if (family == "BLOCK") return row_words(answer["rref"]);
  if (family == "FACT_COUNT") {
    return std::string(answer["existence"] == "always" ? "ALWAYS " : "SOMETIMES ") +
           (answer["count"] == "many" ? "MANY" : "UNIQUE");
  }
  if (family == "FACT_SPACES") return space_words(answer["column_space"]) + space_words(answer["nullspace"]);
  if (family == "MEMBER") return "YES " + row_words(json::array({answer["coefficients"]}));
  std::string cases;
  for (const json& one : answer["cases"]) {
    const std::string solutions = one["solutions"];
    cases += solutions == "none" ? "NONE " : solutions == "one" ? "UNIQUE " : "MANY ";
    cases += one["in_column_space"] == true ? "YES " : "NO ";
    if (!one["columns_independent"].is_null())
      cases += one["columns_independent"] == true ? "INDEPENDENT " : "DEPENDENT ";
    cases += "; ";
  }
  return cases;
}

TEST(ExamFamilies, SolveTheNineQuestionsAsTheFixtureDoes) {
  const json items = exam_items();
  ASSERT_EQ(items.size(), 9U);
  for (const json& item : items) {
    const std::string id = item["id"];
    const Family& family = find_family(item["family"].get<std::string>());
    const Problem problem = family.from_json(item["given"]);
    const Words expected = words_of("ANS " + expected_answer(item["family"], item["answer"]) + " EOS");
    EXPECT_EQ(family.solve(problem.prompt, ChainFormat::answer_only), expected) << id;
    if (item.contains("canonical")) {
      EXPECT_EQ(family.canonical(problem.prompt), item["canonical"]) << id;
    }
    EXPECT_TRUE(is_exam_item(family.canonical(problem.prompt))) << id;
    for (const ChainFormat format : chain_formats) {
      const Words output = family.solve(problem.prompt, format);
      const Verdict verdict = family.judge(problem.prompt, output, format);
      EXPECT_TRUE(verdict.chain_valid) << id << ": " << join_words(output);
      EXPECT_EQ(Words(std::find(output.begin(), output.end(), "ANS"), output.end()), expected) << id;
    }
  }
}

TEST(ExamFamilies, AcceptTheOtherAnswersThatTheFixtureNames) {
  const json items = exam_items();
  const auto right = [&](size_t index, const std::string& answer) {
    const Family& family = find_family(items[index]["family"].get<std::string>());
    const Problem problem = family.from_json(items[index]["given"]);
    return family.judge(problem.prompt, words_of("ANS " + answer + " EOS"), ChainFormat::answer_only)
        .answer_right;
  };
  const json& undo = items[1]["answer"];
  EXPECT_TRUE(
      right(1, "INVERSE " + row_words(undo["E_inverse"]) + ": " + augmented_words(undo["A"], undo["b"])));
  EXPECT_FALSE(right(1, row_words(undo["E_inverse"]) + ": " + augmented_words(undo["A"], undo["b"])));
  EXPECT_TRUE(right(3, "PLANE 2 3 ; EQ " + row_words(items[3]["answer"]["equations"])));
  EXPECT_TRUE(right(3, "SPACE 2 3 ; EQ -12 4 -2 ;"));
  EXPECT_FALSE(right(3, "PLANE 2 3 ; EQ 6 -2 2 ;"));
  EXPECT_FALSE(right(3, "LINE 2 3 ; EQ 6 -2 1 ;"));
  EXPECT_FALSE(right(3, "PLANE 2 4 ; EQ 6 -2 1 ;"));
  EXPECT_TRUE(right(7, "MANY YES DEPENDENT ; NONE NO ; UNIQUE YES INDEPENDENT ;"));
  EXPECT_FALSE(right(7, "NONE NO ; UNIQUE YES INDEPENDENT ; UNIQUE YES INDEPENDENT ;"));
  EXPECT_TRUE(right(8, "YES EQ " + row_words(items[8]["answer"]["equations"])));
  EXPECT_FALSE(right(8, "YES 2 3 ;"));
  EXPECT_FALSE(right(8, "NO 7 -3 2 ;"));
}

TEST(ExamFamilies, WriteTheWorkedNullSpaceExampleWordForWord) {
  const Words prompt = words_of("NULL 0 1 2 2 ; 0 3 8 7 ; 0 0 4 2 ;");
  EXPECT_EQ(join_words(null_space().solve(prompt, ChainFormat::prod)),
            "SUB R2 R1 3 : 0 0 3 0 6 2 6 1 NL SUB R3 R2 2 : 0 0 0 0 4 0 2 0 NL DIV R2 2 : 0 0 1 1 /2 NL "
            "SUB R1 R2 2 : 0 0 0 1 2 0 1 1 NL PIV 2 3 NL FREE 1 4 NL ANS 1 0 0 0 ; 0 -1 -1 /2 1 ; EOS");
  EXPECT_EQ(null_space().solve(prompt, ChainFormat::prod).size(), 73U);
  EXPECT_EQ(null_space().solve(prompt, ChainFormat::delta).size(), 61U);
}

TEST(ExamFamilies, GeneratedProblemsAreSolvedRightInEveryFormat) {
  constexpr uint64_t seed = 20100301;
  SCOPED_TRACE("seed " + std::to_string(seed));
  const Vocabulary vocabulary;
  for (const Family* family : exam_families()) {
    for (uint64_t index = 0; index < 2000; ++index) {
      CounterRng rng({seed, fnv1a64(family->name()), index});
      const Problem problem = family->generate(rng);
      const std::string text = join_words(problem.prompt);
      ASSERT_EQ(parse_problem(text).prompt, problem.prompt) << text;
      ASSERT_EQ(problem.prompt.back(), ";");
      (void)vocabulary.encode(problem.prompt);
      for (const ChainFormat format : chain_formats) {
        const Words output = family->solve(problem.prompt, format);
        ASSERT_LE(output.size(), 180U) << text;
        (void)vocabulary.encode(output);
        const Verdict verdict = family->judge(problem.prompt, output, format);
        ASSERT_TRUE(verdict.chain_valid && verdict.error == ErrorClass::none) << text << join_words(output);
        ASSERT_EQ(verdict.chain_words, verdict.reference_chain_words);
        for (const StepVerdict& step : verdict.steps) ASSERT_TRUE(step.valid && step.as_reference);
        const auto answer = std::find(output.begin(), output.end(), "ANS");
        ASSERT_TRUE(oracle::answer_right(problem.prompt, {answer + 1, output.end() - 1})) << text;
        if (format == ChainFormat::prod) {
          ASSERT_TRUE(oracle::operations_hold(problem.prompt, output)) << text;
        }
      }
    }
  }
}

// The exam needs fractions, entries to 30, zero columns in front, rank 1, both kinds of membership.
TEST(ExamFamilies, GeneratorsCoverWhatTheExamNeeds) {
  constexpr int count = 2000;
  std::map<std::string, int> seen;
  for (uint64_t index = 0; index < count; ++index) {
    for (const Family* family : {&null_space(), &member(), &fact_spaces(), &member_rule(), &solution_set()}) {
      CounterRng rng({uint64_t{5}, fnv1a64(family->name()), index});
      const Words prompt = family->generate(rng).prompt;
      const Words output = family->solve(prompt, ChainFormat::prod);
      const Verdict verdict = family->judge(prompt, output, ChainFormat::prod);
      const std::string name(family->name());
      seen[name + " fraction"] += verdict.has_fraction;
      const auto rows = oracle::numbers(std::span(prompt).subspan(1));
      const bool large = std::any_of(rows.begin(), rows.end(), [](const oracle::Row& row) {
        return std::any_of(row.begin(), row.end(), [](double x) { return std::abs(x) > 9; });
      });
      seen[name + " large"] += large;
      seen[name + " zero column"] += name == "NULL" && oracle::kills(rows, {1.});
      seen[name + " rank 1"] += oracle::is_matrix(rows) && oracle::rank(rows) == 1;
      ++seen[name + " " + *(std::find(output.begin(), output.end(), "ANS") + 1)];
    }
  }
  // Bounds are about half of what the law gives, so that they break only when a branch is lost.
  for (const char* each :
       {"NULL fraction", "NULL large", "NULL zero column", "NULL rank 1", "MEMBER fraction", "MEMBER large",
        "SOLSET large", "MEMBER_RULE UNIQUE", "MEMBER_RULE MANY"}) {
    EXPECT_GT(seen[each], count / 20) << each;
  }
  for (const char* each : {"MEMBER YES", "MEMBER NO"}) EXPECT_GT(seen[each], count / 3) << each;
  for (const char* each : {"NULL NONE", "FACT_SPACES POINT", "FACT_SPACES LINE", "FACT_SPACES PLANE",
                           "FACT_SPACES SPACE", "FACT_SPACES WHOLE", "SOLSET fraction"}) {
    EXPECT_GT(seen[each], count / 40) << each;
  }
}

TEST(ExamFamilies, TrainingKeepsRareKindsMoreOften) {
  const auto weight = [](const char* text) {
    const Problem problem = parse_problem(text);
    return find_family(problem.prompt[0]).training_weight(problem.prompt);
  };
  for (const char* rare : {"SOLSET 3 ; 7 0 0 ; 2 1 0 ; 3 0 1 ;", "SOLSET 2 ; 7 0 ; 1 /2 1 ;",
                           "UNDO 1 -2 4 ; 0 0 0 ; 0 0 0 ; SUB R2 R1 2 ;", "NULL 2 1 ;"}) {
    EXPECT_EQ(weight(rare), 1) << rare;
  }
  for (const char* common : {"SOLSET 2 ; 7 0 ; 2 1 ;", "UNDO 1 -2 4 ; 0 0 0 ; SUB R2 R1 2 ;", "NULL 1 2 ;"}) {
    EXPECT_EQ(weight(common), .4) << common;
  }
}

TEST(ExamFamilies, EverySplitOfEveryFamilyHasProblems) {
  for (const Family* family : exam_families()) {
    std::map<Split, int> found;
    for (uint64_t index = 0; index < 2000; ++index) {
      CounterRng rng({uint64_t{6}, index});
      ++found[split_of(family->canonical(family->generate(rng).prompt))];
    }
    for (const Split split : {Split::train, Split::validation, Split::test}) {
      EXPECT_GT(found[split], 40) << family->name();
    }
  }
}

}  // namespace
}  // namespace giantrabbit::data
