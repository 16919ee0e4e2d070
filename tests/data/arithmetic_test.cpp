// Multiplication, addition, sorting: answers against plain integer arithmetic, worked examples word for word,
// planted faults of every class.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/digits.h"
#include "tests/data/domain_checks.h"
#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

bool never_differs(const Words&, const Words&) { return false; }

// Numbers of up to 9 digits, least significant first.
int64_t number_of(std::span<const std::string> words) {
  int64_t value = 0;
  for (size_t i = words.size(); i-- > 0;) value = 10 * value + std::stoi(words[i]);
  return value;
}

bool operation_is_right(const Words& prompt, const Words& answer) {
  const bool product = prompt[0] == "MUL";
  const auto sign = std::find(prompt.begin(), prompt.end(), product ? "*" : "+");
  const int64_t a = number_of(std::span(prompt.begin() + 1, sign));
  const int64_t b = number_of(std::span(sign + 1, prompt.end() - 1));
  return number_of(answer) == (product ? a * b : a + b);
}

bool is_sorted_prompt(const Words& prompt, const Words& answer) {
  std::multiset<int> given;
  std::vector<int> said;
  for (size_t i = 1; i < prompt.size(); ++i) {
    if (prompt[i] != ";") given.insert(std::stoi(prompt[i]));
  }
  for (const std::string& word : answer) {
    if (word != ";") said.push_back(std::stoi(word));
  }
  return std::equal(given.begin(), given.end(), said.begin(), said.end());
}

TEST(Digits, AgreeWithWholeNumbers) {
  constexpr uint64_t seed = 511;
  SCOPED_TRACE(seed);
  CounterRng rng{seed};
  const auto digits = [](int64_t value) { return trimmed(parse_decimal(std::to_string(value), "value")); };
  for (int round = 0; round < 2000; ++round) {
    const int64_t a = rng.uniform(0, rng.chance(.2) ? 9 : 1'000'000'000);
    const int64_t b = rng.uniform(0, rng.chance(.2) ? 9 : 1'000'000'000);
    ASSERT_EQ(sum(digits(a), digits(b)), digits(a + b)) << a << " " << b;
    ASSERT_EQ(product(digits(a), digits(b)), digits(a * b)) << a << " " << b;
    ASSERT_EQ(times_digit(digits(a), static_cast<int>(b % 10), 3), digits(a * (b % 10) * 1000))
        << a << " " << b;
  }
  EXPECT_THROW((void)parse_decimal("12x", "given.a"), ProblemError);
  EXPECT_THROW((void)parse_decimal("", "given.a"), ProblemError);
}

TEST(Multiplication, GeneratesAndSolves) {
  for (const char* task : {"multiplication-2x2", "multiplication-4x4"}) {
    domain_checks::expect_sound_generator(task, 300, operation_is_right);
    domain_checks::expect_cut_outputs_truncated(task);
    domain_checks::expect_mutations_judged(task, 12, operation_is_right, never_differs);
  }
}

// One line "question||chain #### answer" of the published data, in our words, and its token counts.
TEST(Multiplication, WritesTheCommunitysChain) {
  const Family& family = find_family("MUL");
  EXPECT_EQ(join_words(family.solve(words_of("MUL 1 7 * 1 3 ;"), ChainFormat::prod)),
            "1 7 0 NL 0 3 1 2 NL ANS 1 0 2 2 EOS");
  EXPECT_EQ(join_words(family.solve(words_of("MUL 8 3 6 * 4 5 1 ;"), ChainFormat::delta)),
            "2 5 5 2 NL 0 0 9 1 3 ( 2 5 4 4 3 ) NL 0 0 8 3 6 0 NL ANS 2 5 2 8 9 0 EOS");
  for (const auto& [digits, chain, answer] : {std::tuple{4, 46, 8}, {5, 74, 10}, {7, 148, 14}}) {
    const ExampleSource source("multiplication-" + std::to_string(digits) + "x" + std::to_string(digits),
                               ChainFormat::prod, Split::test, 1);
    const Words prompt = source.example(0).problem.prompt;
    EXPECT_EQ(std::ssize(prompt) - 2, 2 * digits + 1);
    const Verdict verdict = family.judge(prompt, family.solve(prompt, ChainFormat::prod), ChainFormat::prod);
    EXPECT_EQ(verdict.chain_words - 1, chain) << "the last NL has no word in the published chain";
    EXPECT_EQ(std::ssize(family.solve(prompt, ChainFormat::answer_only)) - 2, answer);
  }
}

TEST(Multiplication, SurvivesGarbageAndMeetsEveryErrorClass) {
  auto seen = domain_checks::judge_garbage("multiplication-4x4", 4000);
  for (const ErrorClass error : {ErrorClass::none, ErrorClass::format, ErrorClass::arithmetic,
                                 ErrorClass::policy, ErrorClass::final_copy, ErrorClass::truncated}) {
    EXPECT_GT(seen[error], 5) << error_class_name(error);
  }
}

Verdict judge(const std::string& prompt, const std::string& output) {
  const Words words = words_of(prompt);
  return find_family(words[0]).judge(words, words_of(output), ChainFormat::prod);
}

TEST(Multiplication, NamesTheFirstFault) {
  const std::string prompt = "MUL 8 3 6 * 4 5 1 ;";
  const std::string answer = "ANS 2 5 2 8 9 0 EOS";
  const std::string first = "2 5 5 2 NL ";
  const std::string second = "0 0 9 1 3 ( 2 5 4 4 3 ) NL ";
  const std::string third = "0 0 8 3 6 0 NL ";
  EXPECT_TRUE(judge(prompt, first + second + third + answer).chain_valid);
  EXPECT_EQ(judge(prompt, first + "0 0 9 2 3 ( 2 5 4 5 3 ) NL " + third + answer).error,
            ErrorClass::arithmetic);
  EXPECT_EQ(judge(prompt, first + "0 0 9 1 3 ( 2 5 4 5 3 ) NL " + third + answer).error,
            ErrorClass::arithmetic);
  EXPECT_EQ(judge(prompt, first + "0 2 5 5 2 ( 2 7 0 8 2 ) NL " + third + answer).error,
            ErrorClass::stale_row);
  EXPECT_EQ(judge(prompt, first + second + answer).error, ErrorClass::policy);
  EXPECT_EQ(judge(prompt, first + third + answer).error, ErrorClass::policy);
  EXPECT_EQ(judge(prompt, first + "0 0 9 1 3 NL " + third + answer).error, ErrorClass::format);
  EXPECT_EQ(judge(prompt, "2 5 5 2 ( 2 5 5 2 ) NL " + second + third + answer).error, ErrorClass::format);
  EXPECT_EQ(judge(prompt, first + second + third + "ANS 2 5 2 8 8 0 EOS").error, ErrorClass::final_copy);
  EXPECT_EQ(judge(prompt, first + second + third + "ANS 2 5 2 8 9 EOS").error, ErrorClass::none);
  EXPECT_EQ(judge(prompt, first + second + third + "ANS 2 5 12 8 9 0 EOS").error, ErrorClass::format);
  // A wrong sum that is continued rightly is one fault.
  const Verdict slip =
      judge("MUL 1 1 * 1 1 1 1 ;",
            "1 1 0 NL 0 1 1 0 ( 1 2 2 0 ) NL 0 0 1 1 0 ( 1 2 3 1 0 ) NL 0 0 0 1 1 0 NL ANS 1 2 2 2 1 0 EOS");
  ASSERT_EQ(slip.steps.size(), 4U);
  EXPECT_EQ(slip.steps[1].error, ErrorClass::arithmetic);
  EXPECT_TRUE(slip.steps[2].valid) << "1 2 2 + 0 0 1 1 is 1 2 3 1";
  EXPECT_TRUE(slip.steps[3].valid && slip.answer_right && !slip.chain_valid);
}

TEST(Arithmetic, ReadsOutsideItemsAndRefusesOthers) {
  const auto item = nlohmann::json::parse(R"({"a": 638, "b": "154"})");
  EXPECT_EQ(find_family("MUL").from_json(item).prompt, words_of("MUL 8 3 6 * 4 5 1 ;"));
  EXPECT_EQ(find_family("ADD").from_json(item).prompt, words_of("ADD 8 3 6 + 4 5 1 ;"));
  for (const char* text :
       {R"({"a": -1, "b": 2})", R"({"a": 1})", R"({"a": 1.5, "b": 2})", R"({"a": "", "b": 2})"}) {
    EXPECT_THROW((void)find_family("MUL").from_json(nlohmann::json::parse(text)), ProblemError) << text;
  }
  for (const char* text : {"MUL 1 2", "MUL 1 * ", "MUL * 1", "MUL 10 * 1", "MUL 1 + 2", "ADD 1 + 2 + 3",
                           "SORT", "SORT ;", "SORT 1 /2", "SORT 1 ; ; 2"}) {
    EXPECT_THROW((void)parse_problem(text), ProblemError) << text;
  }
}

TEST(Addition, GeneratesSolvesAndJudges) {
  domain_checks::expect_sound_generator("addition", 100, [](const Words& prompt, const Words& answer) {
    // Long numbers: digit by digit from the front, as on paper.
    const auto sign = std::find(prompt.begin(), prompt.end(), "+");
    const Words a(prompt.begin() + 1, sign), b(sign + 1, prompt.end() - 1);
    int carry = 0;
    for (size_t i = 0; i < answer.size(); ++i) {
      const int total = (i < a.size() ? std::stoi(a[i]) : 0) + (i < b.size() ? std::stoi(b[i]) : 0) + carry;
      if (std::stoi(answer[i]) != total % 10) return false;
      carry = total / 10;
    }
    return carry == 0;
  });
  domain_checks::expect_cut_outputs_truncated("addition");
  auto seen = domain_checks::judge_garbage("addition", 3000);
  EXPECT_GT(seen[ErrorClass::stale_row], 5);
  EXPECT_GT(seen[ErrorClass::arithmetic], 5);
  const std::string prompt = "ADD 8 3 + 4 9 ;";
  EXPECT_TRUE(judge(prompt, "8 4 12 NL 3 9 13 NL ANS 2 3 1 EOS").chain_valid);
  EXPECT_EQ(judge(prompt, "8 4 12 NL 3 9 12 NL ANS 2 3 1 EOS").error, ErrorClass::arithmetic);
  EXPECT_EQ(judge(prompt, "8 9 17 NL 3 9 13 NL ANS 2 3 1 EOS").error, ErrorClass::stale_row);
  EXPECT_EQ(judge(prompt, "8 4 12 NL ANS 2 3 1 EOS").error, ErrorClass::policy);
  EXPECT_EQ(judge(prompt, "8 4 12 NL 3 9 13 NL 0 0 1 NL ANS 2 3 1 EOS").error, ErrorClass::format);
  EXPECT_EQ(judge(prompt, "8 4 12 NL 3 9 13 NL ANS 2 3 EOS").error, ErrorClass::final_copy);
  // Four words a digit.
  const ExampleSource source("addition-64", ChainFormat::prod, Split::test, 1);
  EXPECT_EQ(source.example(0).target.size(), 4U * 64 + 65 + 2);
}

TEST(Sorting, GeneratesSolvesAndJudges) {
  domain_checks::expect_sound_generator("sorting", 200, is_sorted_prompt);
  domain_checks::expect_cut_outputs_truncated("sorting");
  // Equal neighbours may be said to change places or not: only "not larger" is right, so nothing may differ.
  domain_checks::expect_mutations_judged("sorting", 12, is_sorted_prompt, never_differs);
  auto seen = domain_checks::judge_garbage("sorting", 3000);
  for (const ErrorClass error : {ErrorClass::stale_row, ErrorClass::policy, ErrorClass::final_copy}) {
    EXPECT_GT(seen[error], 5) << error_class_name(error);
  }
  const std::string prompt = "SORT 3 1 2 ;";
  EXPECT_EQ(join_words(find_family("SORT").solve(words_of(prompt), ChainFormat::prod)),
            "3 1 YES NL 3 2 YES NL 1 2 NO NL ANS 1 2 3 ; EOS");
  EXPECT_EQ(judge(prompt, "3 1 NO NL 1 2 NO NL 3 1 YES NL ANS 1 2 3 ; EOS").error, ErrorClass::arithmetic);
  EXPECT_EQ(judge(prompt, "3 1 YES NL 1 2 NO NL 1 2 NO NL ANS 1 2 3 ; EOS").error, ErrorClass::stale_row);
  EXPECT_EQ(judge(prompt, "3 1 YES NL 3 2 YES NL ANS 1 2 3 ; EOS").error, ErrorClass::policy);
  EXPECT_EQ(judge(prompt, "3 1 YES NL 3 2 YES NL 1 2 NO NL ANS 1 3 2 ; EOS").error, ErrorClass::final_copy);
  EXPECT_EQ(judge(prompt, "3 1 YES NL 3 2 YES NL 1 2 ; NL ANS 1 2 3 ; EOS").error, ErrorClass::format);
}

}  // namespace
}  // namespace giantrabbit::data
