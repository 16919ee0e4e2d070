// In: a task. Out: failed expectations with the prompt and output that show them. Random parts print their
// seed.
#include "tests/data/domain_checks.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "data/counter_rng.h"
#include "data/vocabulary.h"
#include "data/words.h"

namespace giantrabbit::data::domain_checks {
namespace {

constexpr ChainFormat formats[] = {ChainFormat::prod, ChainFormat::delta, ChainFormat::answer_only};

const Family& family_of(const Words& prompt) { return find_family(prompt.at(0)); }

Words answer_of(const Words& output) {
  const auto answer = std::find(output.begin(), output.end(), "ANS");
  const auto end = std::find(answer, output.end(), "EOS");
  return answer == output.end() ? Words{} : Words(answer + 1, end);
}

std::string shown(const Words& prompt, const Words& output) {
  return join_words(prompt) + " -> " + join_words(output);
}

// The next whole number, the slip that arithmetic makes; other words stay.
std::string neighbour(const std::string& word) {
  const auto value = WordReader(std::span(&word, 1)).value();
  return value ? std::to_string((value->numerator() + 1) % max_whole) : word;
}

void expect_consistent(const Verdict& verdict, const std::string& text) {
  ASSERT_EQ(verdict.chain_valid, verdict.error == ErrorClass::none) << text;
  ASSERT_TRUE(!verdict.chain_valid || verdict.answer_right) << text;
  ASSERT_TRUE(!verdict.answer_right || verdict.finished) << text;
  int begin = 0;
  for (const StepVerdict& step : verdict.steps) {
    ASSERT_EQ(step.begin, begin) << text;
    ASSERT_GT(step.end, step.begin) << text;
    ASSERT_EQ(step.valid, step.error == ErrorClass::none && step.reason.empty()) << text;
    begin = step.end;
  }
  ASSERT_EQ(begin, verdict.chain_words) << text;
}

void expect_reference_right(const Words& prompt, const Vocabulary& vocabulary, const Oracle& oracle) {
  const Family& family = family_of(prompt);
  for (const ChainFormat format : formats) {
    const Words solution = family.solve(prompt, format);
    const std::string text = shown(prompt, solution);
    ASSERT_NO_THROW((void)vocabulary.encode(solution)) << text;
    ASSERT_TRUE(oracle(prompt, answer_of(solution))) << text;
    const Verdict verdict = family.judge(prompt, solution, format);
    ASSERT_TRUE(verdict.chain_valid) << text << " " << error_class_name(verdict.error);
    ASSERT_EQ(verdict.chain_words, verdict.reference_chain_words) << text;
    for (const StepVerdict& step : verdict.steps) ASSERT_TRUE(step.valid && step.as_reference) << text;
    expect_consistent(verdict, text);
  }
}

}  // namespace

void expect_sound_generator(const std::string& task, int64_t count, const Oracle& oracle) {
  constexpr uint64_t seed = 501;
  SCOPED_TRACE(task + ", seed " + std::to_string(seed));
  std::map<std::string, Split> splits;
  for (const Split split : {Split::train, Split::validation, Split::test}) {
    const ExampleSource source(task, ChainFormat::prod, split, seed);
    for (int64_t index = 0; index < count; ++index) {
      const Words prompt = source.example(static_cast<uint64_t>(index)).problem.prompt;
      const Family& family = family_of(prompt);
      ASSERT_EQ(parse_problem(join_words(prompt)).prompt, prompt);
      ASSERT_FALSE(family.stratum(prompt).empty());
      const std::string canonical = family.canonical(prompt);
      ASSERT_EQ(split_of(canonical), split) << canonical;
      ASSERT_EQ(splits.emplace(canonical, split).first->second, split) << canonical;
      expect_reference_right(prompt, source.vocabulary(), oracle);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

void expect_mutations_judged(const std::string& task, int64_t count, const Oracle& oracle,
                             const MayDiffer& may_differ) {
  constexpr uint64_t seed = 502;
  SCOPED_TRACE(task + ", seed " + std::to_string(seed));
  CounterRng rng{seed};
  int refused = 0;
  for (const ChainFormat format : formats) {
    const ExampleSource source(task, format, Split::validation, seed);
    const Vocabulary& vocabulary = source.vocabulary();
    for (int64_t index = 0; index < count; ++index) {
      const Words prompt = source.example(static_cast<uint64_t>(index)).problem.prompt;
      const Words solution = family_of(prompt).solve(prompt, format);
      for (size_t place = 0; place < solution.size(); ++place) {
        Words output = solution;
        // Half of the changes stay near: a word that occurs elsewhere in the solution.
        while (output[place] == solution[place]) {
          output[place] = rng.chance(.5)
                              ? solution[static_cast<size_t>(rng.uniform(0, std::ssize(solution) - 1))]
                              : vocabulary.word(rng.uniform(0, vocabulary.size() - 1));
        }
        const Verdict verdict = family_of(prompt).judge(prompt, output, format);
        const std::string text = shown(prompt, output);
        expect_consistent(verdict, text);
        ASSERT_TRUE(!verdict.answer_right || oracle(prompt, answer_of(output))) << text;
        ASSERT_TRUE(!verdict.chain_valid || may_differ(prompt, output)) << text;
        refused += !verdict.chain_valid;
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

std::map<ErrorClass, int> judge_garbage(const std::string& task, int64_t rounds) {
  constexpr uint64_t seed = 503;
  SCOPED_TRACE(task + ", seed " + std::to_string(seed));
  CounterRng rng{seed};
  const Words odd = {"", "99999999999999999999", "-0", "-1", "/2", "R0", "R33", "?", "NL", "ANS", "EOS", ":",
                     ";"};
  const ExampleSource source(task, ChainFormat::prod, Split::validation, seed);
  const auto any_word = [&] {
    return rng.chance(.3) ? odd[static_cast<size_t>(rng.uniform(0, std::ssize(odd) - 1))]
                          : source.vocabulary().word(rng.uniform(0, source.vocabulary().size() - 1));
  };
  std::map<ErrorClass, int> seen;
  for (int64_t round = 0; round < rounds; ++round) {
    const Words prompt = source.example(static_cast<uint64_t>(round % 50)).problem.prompt;
    const Family& family = family_of(prompt);
    const ChainFormat format = formats[round % 3];
    Words output = rng.chance(.1) ? Words{} : family.solve(prompt, formats[(round / 3) % 3]);
    for (int64_t edits = rng.uniform(0, 4); edits > 0; --edits) {
      const auto place = rng.uniform(0, std::ssize(output));
      const auto at = output.begin() + place;
      const int64_t kind = rng.uniform(0, 4);
      if (kind == 0) {
        output.insert(at, any_word());
      } else if (at != output.end() && kind == 1) {
        output.erase(at);
      } else if (at != output.end() && kind == 2) {
        *at = rng.chance(.5) ? any_word() : neighbour(*at);
      } else if (at != output.end() && kind == 3) {
        std::swap(*at, output.front());
      } else if (rng.chance(.3)) {
        output.resize(static_cast<size_t>(place));
      }
    }
    Verdict verdict;
    EXPECT_NO_THROW(verdict = family.judge(prompt, output, format)) << shown(prompt, output);
    expect_consistent(verdict, shown(prompt, output));
    if (testing::Test::HasFatalFailure()) break;
    ++seen[verdict.error];
  }
  return seen;
}

void expect_cut_outputs_truncated(const std::string& task) {
  const ExampleSource source(task, ChainFormat::prod, Split::validation, 504);
  const Words prompt = source.example(0).problem.prompt;
  const Words output = family_of(prompt).solve(prompt, ChainFormat::prod);
  for (size_t length = 0; length < output.size(); ++length) {
    const Verdict verdict =
        family_of(prompt).judge(prompt, std::span(output).first(length), ChainFormat::prod);
    EXPECT_FALSE(verdict.answer_right || verdict.chain_valid || verdict.finished) << length;
    EXPECT_EQ(verdict.error, ErrorClass::truncated) << shown(prompt, output) << " cut at " << length;
  }
}

}  // namespace giantrabbit::data::domain_checks
