// Copying, counting, recall and paths in graphs: answers against plain search, layouts of lists, planted
// faults.
#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/example_source.h"
#include "data/families/lists.h"
#include "tests/data/domain_checks.h"
#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

bool never_differs(const Words&, const Words&) { return false; }

// The numbers of some words, ";" left out.
std::vector<int> numbers_of(std::span<const std::string> words) {
  std::vector<int> numbers;
  for (const std::string& word : words) {
    if (word != ";") numbers.push_back(std::stoi(word));
  }
  return numbers;
}

bool list_answer_is_right(const Words& prompt, const Words& words) {
  std::vector<int> list = numbers_of(std::span(prompt).subspan(1));
  const std::vector<int> answer = numbers_of(words);
  if (prompt[0] == "COPY" || prompt[0] == "LONG_COPY") return answer == list;
  if (prompt[0] == "REVERSE") {
    std::reverse(list.begin(), list.end());
    return answer == list;
  }
  if (answer.size() != 1) return false;
  if (prompt[0] == "COUNT") return answer[0] == std::count(list.begin(), list.end(), list[0]);
  const auto count = std::count(list.begin(), list.end(), answer[0]);
  return std::all_of(list.begin(), list.end(), [&](int other) {
    return other == answer[0] || std::count(list.begin(), list.end(), other) < count;
  });
}

bool recall_is_right(const Words& prompt, const Words& words) {
  const auto colon = std::find(prompt.begin(), prompt.end(), ":");
  const std::vector<int> pairs = numbers_of(std::span(prompt.begin() + 1, colon));
  const std::vector<int> queries = numbers_of(std::span(colon + 1, prompt.end()));
  const std::vector<int> answer = numbers_of(words);
  if (answer.size() != queries.size()) return false;
  for (size_t query = 0; query < queries.size(); ++query) {
    for (size_t i = 0; i < pairs.size(); i += 2) {
      if (pairs[i] == queries[query] && pairs[i + 1] != answer[query]) return false;
    }
  }
  return true;
}

// Grows the set of reached nodes until nothing is added.
bool target_is_right(const Words& prompt, const Words& answer) {
  const std::vector<int> numbers = numbers_of(std::span(prompt).subspan(1));
  std::set<int> reached = {numbers[0]};
  for (size_t before = 0; before != reached.size();) {
    before = reached.size();
    for (size_t i = 3; i < numbers.size(); i += 2) {
      if (reached.contains(numbers[i])) reached.insert(numbers[i + 1]);
    }
  }
  return answer.size() == 1 && (answer[0] == prompt[2] || answer[0] == prompt[3]) &&
         reached.contains(std::stoi(answer[0]));
}

TEST(Lists, AreWrittenInRowsOfTwenty) {
  std::vector<int> numbers(43, 7);
  Words words;
  append_list(words, numbers);
  EXPECT_EQ(words.size(), 46U);
  EXPECT_EQ(words[20], ";");
  EXPECT_EQ(words.back(), ";");
  EXPECT_EQ(read_list(words), numbers);
  for (const char* text : {"", ";", "1", "1 ; ; 2 ;", "1 /2 ;", "61 ;", "x ;", "1 ; 2"}) {
    EXPECT_FALSE(read_list(words_of(text)).has_value()) << text;
  }
  EXPECT_EQ(length_group(16), "up to 16 values");
  EXPECT_EQ(length_group(17), "up to 32 values");
}

TEST(ListFamilies, GenerateSolveAndJudge) {
  for (const char* task :
       {"copy", "copy-64", "long-copy-128", "reverse", "majority", "majority-128", "count", "count-256"}) {
    domain_checks::expect_sound_generator(task, 60, list_answer_is_right);
    domain_checks::expect_cut_outputs_truncated(task);
  }
  for (const char* task : {"copy", "long-copy-64", "reverse", "majority", "count"}) {
    // Rows may be cut elsewhere, which one changed word cannot do.
    domain_checks::expect_mutations_judged(task, 30, list_answer_is_right, never_differs);
    auto seen = domain_checks::judge_garbage(task, 1500);
    for (const ErrorClass error :
         {ErrorClass::none, ErrorClass::format, ErrorClass::final_copy, ErrorClass::truncated}) {
      EXPECT_GT(seen[error], 5) << task << " " << error_class_name(error);
    }
  }
}

TEST(ListFamilies, LongCopyHasItsLengthAndNoRows) {
  for (const int64_t words : {64, 4096}) {
    const ExampleSource source("long-copy-" + std::to_string(words), ChainFormat::prod, Split::test, 1);
    const Example example = source.example(0);
    EXPECT_EQ(std::ssize(example.prompt) + std::ssize(example.target), words + 1) << "EOS is not read";
    EXPECT_EQ(std::ranges::count(example.problem.prompt, ";"), 1);
  }
}

TEST(ListFamilies, AnswerWorkedExamplesAndRefuseOthers) {
  const auto answer = [](const std::string& text) {
    return join_words(find_family(words_of(text)[0]).solve(parse_problem(text).prompt, ChainFormat::prod));
  };
  EXPECT_EQ(answer("COPY 3 1 2"), "ANS 3 1 2 ; EOS");
  EXPECT_EQ(answer("LONG_COPY 3 1 2"), "ANS 3 1 2 ; EOS");
  EXPECT_EQ(answer("REVERSE 3 1 ; 2"), "ANS 2 1 3 ; EOS");
  EXPECT_EQ(answer("MAJORITY 3 1 3"), "ANS 3 ; EOS");
  EXPECT_EQ(answer("COUNT 3 1 3"), "ANS 2 ; EOS");
  EXPECT_THROW((void)parse_problem("MAJORITY 3 1"), ProblemError);
  EXPECT_THROW((void)find_family("COUNT").from_json({{"list", std::vector<int>(61, 1)}}), ProblemError);
  EXPECT_EQ(find_family("COPY").from_json({{"list", {1, 2}}}).prompt, words_of("COPY 1 2 ;"));
  for (const char* text :
       {R"({"list": [61]})", R"({"list": ["1/2"]})", R"({"list": []})", R"({"list": 3})"}) {
    EXPECT_THROW((void)find_family("COPY").from_json(nlohmann::json::parse(text)), ProblemError) << text;
  }
}

TEST(Recall, GeneratesSolvesAndJudges) {
  for (const char* task : {"recall", "recall-60"}) {
    domain_checks::expect_sound_generator(task, 100, recall_is_right);
    domain_checks::expect_cut_outputs_truncated(task);
  }
  domain_checks::expect_mutations_judged("recall", 20, recall_is_right, never_differs);
  EXPECT_GT(domain_checks::judge_garbage("recall", 1500)[ErrorClass::final_copy], 5);
  const auto item = nlohmann::json::parse(R"({"pairs": [[-3, 7], [-9, 2]], "queries": [-9, -3]})");
  const Words prompt = find_family("RECALL").from_json(item).prompt;
  EXPECT_EQ(prompt, words_of("RECALL -3 7 -9 2 ; : -9 -3 ;"));
  EXPECT_EQ(join_words(find_family("RECALL").solve(prompt, ChainFormat::prod)), "ANS 2 7 ; EOS");
  for (const char* text :
       {"RECALL 1 2 : 3", "RECALL 1 2 1 3 ; : 1", "RECALL 1 2 3 ; : 1", "RECALL 1 2", "RECALL : 1"}) {
    EXPECT_THROW((void)parse_problem(text), ProblemError) << text;
  }
}

Verdict judge_path(const std::string& output) {
  const Words prompt = words_of("PATH 5 9 3 ; 5 7 5 8 8 7 1 3 7 9 ;");
  return find_family("PATH").judge(prompt, words_of(output), ChainFormat::prod);
}

TEST(GraphPath, GeneratesSolvesAndJudges) {
  domain_checks::expect_sound_generator("graph-path", 100, target_is_right);
  domain_checks::expect_sound_generator("graph-path-48", 20, target_is_right);
  domain_checks::expect_cut_outputs_truncated("graph-path");
  domain_checks::expect_mutations_judged("graph-path", 60, target_is_right, never_differs);
  auto seen = domain_checks::judge_garbage("graph-path", 3000);
  for (const ErrorClass error :
       {ErrorClass::none, ErrorClass::format, ErrorClass::arithmetic, ErrorClass::stale_row,
        ErrorClass::policy, ErrorClass::final_copy, ErrorClass::truncated}) {
    EXPECT_GT(seen[error], 5) << error_class_name(error);
  }
}

TEST(GraphPath, NamesTheFirstFault) {
  EXPECT_TRUE(judge_path("5 7 NL 7 9 NL ANS 9 EOS").chain_valid);
  EXPECT_TRUE(judge_path("5 8 NL 8 7 NL 7 9 NL ANS 9 EOS").chain_valid) << "a longer path is a proof too";
  EXPECT_EQ(judge_path("5 9 NL ANS 9 EOS").error, ErrorClass::arithmetic);
  EXPECT_EQ(judge_path("7 9 NL ANS 9 EOS").error, ErrorClass::stale_row);
  EXPECT_EQ(judge_path("5 7 NL ANS 9 EOS").error, ErrorClass::policy);
  EXPECT_EQ(judge_path("5 7 NL 7 9 NL ANS 3 EOS").error, ErrorClass::final_copy);
  EXPECT_EQ(judge_path("5 7 9 NL ANS 9 EOS").error, ErrorClass::format);
  // From a wrong place on, the path is followed where the model is.
  const Verdict slip = judge_path("5 1 NL 1 3 NL ANS 9 EOS");
  ASSERT_EQ(slip.steps.size(), 2U);
  EXPECT_FALSE(slip.steps[0].valid);
  EXPECT_TRUE(slip.steps[1].valid);
}

TEST(GraphPath, ReadsItemsAndRefusesQuestionsWithoutOneAnswer) {
  const auto item = nlohmann::json::parse(R"({"start": 5, "targets": [9, 3], "edges": [[5, 7], [7, 9]]})");
  EXPECT_EQ(find_family("PATH").from_json(item).prompt, words_of("PATH 5 9 3 ; 5 7 7 9 ;"));
  for (const char* text :
       {"PATH 5 9 3", "PATH 5 9 ; 5 9", "PATH 5 9 3 ; 5 9 7", "PATH 5 9 3 ; 5 9 5 3", "PATH 5 9 3 ; 5 7"}) {
    EXPECT_THROW((void)parse_problem(text), ProblemError) << text;
  }
  // Edges in another order are the same problem.
  EXPECT_EQ(find_family("PATH").canonical(words_of("PATH 5 9 3 ; 5 7 7 9 ;")),
            find_family("PATH").canonical(words_of("PATH 5 3 9 ; 7 9 5 7 ;")));
}

}  // namespace
}  // namespace giantrabbit::data
