// Judging the exam families: other right answers (random bases, scaled equations, other coefficients and
// witnesses) are accepted, near misses refused; every one-word change of a reference output and random
// garbage are judged as a second opinion in double arithmetic (families_oracle.h) judges them. Random parts
// print their seed.
#include <gtest/gtest.h>

#include "data/elimination.h"
#include "data/families/families.h"
#include "data/families/vectors.h"
#include "data/split.h"
#include "data/vocabulary.h"
#include "tests/data/families_oracle.h"
#include "tests/data/text.h"

namespace giantrabbit::data {
namespace {

bool in_vocabulary(const std::vector<Vector>& vectors) {
  return std::all_of(vectors.begin(), vectors.end(), [](const Vector& vector) {
    return std::all_of(vector.begin(), vector.end(), in_range);
  });
}

// Another basis of the same space, inside the vocabulary.
std::vector<Vector> other_basis(CounterRng& rng, const std::vector<Vector>& basis) {
  for (;;) {
    std::vector<Vector> result = basis;
    const auto last = static_cast<int64_t>(basis.size()) - 1;
    for (int step = 0; step < 4 && last >= 0; ++step) {
      Vector& target = result[static_cast<size_t>(rng.uniform(0, last))];
      const Vector source = result[static_cast<size_t>(rng.uniform(0, last))];
      const Rational factor = rng.uniform(-2, 2);
      const Rational scale = rng.chance(.3) ? Rational(-1, 2) : Rational(rng.chance(.5) ? 2 : 1);
      for (size_t j = 0; j < target.size(); ++j) target[j] = (target[j] + factor * source[j]) * scale;
    }
    if (last > 0) std::swap(result.front(), result.back());
    if (in_vocabulary(result) && span_dimension(result) == static_cast<int>(result.size())) return result;
  }
}

std::vector<Vector> null_basis(const Matrix& matrix) { return special_solutions(reduce(matrix)); }

// A random combination; empty when it leaves the vocabulary.
Vector shifted(CounterRng& rng, const Vector& start, const std::vector<Vector>& basis) {
  Vector result = start;
  for (const Vector& vector : basis) {
    const Rational factor = rng.uniform(-3, 3);
    for (size_t j = 0; j < result.size(); ++j) result[j] = result[j] + factor * vector[j];
  }
  return in_vocabulary({result}) ? result : start;
}

Words answer_words(Words head, const std::vector<Vector>& vectors) {
  head.insert(head.begin(), "ANS");
  append_vectors(head, vectors);
  head.emplace_back("EOS");
  return head;
}

Words head_of(const Words& output, std::string_view last) {
  const auto end = std::find(output.begin() + 1, output.end(), last);
  return {output.begin() + 1, end + 1};
}

// A right answer of another form than the reference, or the reference where there is only one.
Words other_answer(CounterRng& rng, const Words& prompt, const Words& reference) {
  const std::string& family = prompt[0];
  if (family == "NULL") {
    const auto basis = null_basis(read_prompt_matrix(prompt, 8, 9));
    return basis.empty() ? reference : answer_words({}, other_basis(rng, basis));
  }
  if (family == "COLSP") {
    const Matrix matrix = read_prompt_matrix(prompt, 8, 9);
    Words head = head_of(reference, ";");
    if (rng.chance(.3)) head[0] = "SPACE";
    const auto equations = null_basis(matrix.transposed());
    if (rng.chance(.5) && in_vocabulary(equations)) {
      head.emplace_back("EQ");
      return answer_words(head, other_basis(rng, equations));
    }
    const auto places = reduce(matrix).pivots;
    std::vector<Vector> basis;
    for (const int place : places) basis.push_back(matrix.column(place));
    return answer_words(head, other_basis(rng, basis));
  }
  if (family == "MEMBER") {
    const Matrix augmented = read_prompt_matrix(prompt, 8, 9);
    const Matrix matrix = without_last_column(augmented);
    const auto given =
        *read_vectors(std::span(reference).subspan(2, reference.size() - 3),
                      static_cast<size_t>(reference[1] == "YES" ? matrix.columns() : matrix.rows()));
    const auto equations = null_basis(matrix.transposed());
    if (reference[1] == "NO") {
      // Any y with yA = 0 and y.b != 0: tested before it is used.
      const Vector witness = shifted(rng, given[0], equations);
      const bool good = !dot(witness, augmented.column(augmented.columns() - 1)).is_zero();
      return answer_words({"NO"}, {good ? witness : given[0]});
    }
    if (rng.chance(.3) && in_vocabulary(equations)) {
      return answer_words({"YES", "EQ"}, equations.empty() ? equations : other_basis(rng, equations));
    }
    return answer_words({"YES"}, {shifted(rng, given[0], null_basis(matrix))});
  }
  if (family == "MEMBER_RULE" && prompt[1] == "SOLSET" && reference[1] == "MANY") {
    auto rows = rows_of(*read_rows(std::span(prompt).subspan(2)));
    const Vector particular = rows[0];
    rows.erase(rows.begin());
    return answer_words({"MANY", "YES", "DEPENDENT", ";"}, {shifted(rng, particular, rows)});
  }
  return reference;
}

TEST(ExamFamilyJudge, AcceptsOtherRightAnswersAndRefusesNearMisses) {
  constexpr uint64_t seed = 411;
  SCOPED_TRACE("seed " + std::to_string(seed));
  int different = 0;
  int refused = 0;
  for (const Family* family : exam_families()) {
    for (uint64_t index = 0; index < 400; ++index) {
      CounterRng rng({seed, fnv1a64(family->name()), index});
      const Words prompt = family->generate(rng).prompt;
      const Words reference = family->solve(prompt, ChainFormat::answer_only);
      Words other = other_answer(rng, prompt, reference);
      const std::string text = join_words(prompt) + " | ";
      ASSERT_TRUE(family->judge(prompt, other, ChainFormat::answer_only).chain_valid)
          << text << join_words(other);
      different += other != reference;
      // One number moved by one.
      std::vector<size_t> places;
      for (size_t i = 0; i < other.size(); ++i) {
        if (oracle::is_number(other[i])) places.push_back(i);
      }
      if (places.empty()) continue;
      std::string& word =
          other[places[static_cast<size_t>(rng.uniform(0, static_cast<int64_t>(places.size()) - 1))]];
      const int value = std::stoi(word);
      word = std::to_string(value < max_whole ? value + 1 : value - 1);
      const bool right = oracle::answer_right(prompt, {other.begin() + 1, other.end() - 1});
      const Verdict verdict = family->judge(prompt, other, ChainFormat::answer_only);
      ASSERT_EQ(verdict.answer_right, right) << text << join_words(other);
      ASSERT_EQ(verdict.error, right ? ErrorClass::none : ErrorClass::final_copy)
          << text << join_words(other);
      refused += !right;
    }
  }
  EXPECT_GT(different, 700);
  EXPECT_GT(refused, 1500);
}

TEST(ExamFamilyJudge, JudgesEveryOneWordChangeAsTheSecondOpinionDoes) {
  constexpr uint64_t seed = 412;
  SCOPED_TRACE("seed " + std::to_string(seed));
  const Vocabulary vocabulary;
  int refused = 0;
  int accepted = 0;
  for (const Family* family : exam_families()) {
    for (uint64_t index = 0; index < 30; ++index) {
      CounterRng rng({seed, fnv1a64(family->name()), index});
      const Words prompt = family->generate(rng).prompt;
      const Words reference = family->solve(prompt, ChainFormat::prod);
      const auto answer =
          static_cast<size_t>(std::find(reference.begin(), reference.end(), "ANS") - reference.begin());
      for (size_t place = 0; place + 1 < reference.size(); ++place) {
        Words output = reference;
        // Half of the changes put a number for a number, where the family's arithmetic has to decide.
        const bool number = oracle::is_number(output[place]) && rng.chance(.7);
        output[place] = number ? std::to_string(rng.uniform(-12, 12))
                               : vocabulary.word(rng.uniform(0, vocabulary.size() - 1));
        if (output == reference) continue;
        const Verdict verdict = family->judge(prompt, output, ChainFormat::prod);
        (verdict.chain_valid ? accepted : refused) += 1;
        ASSERT_EQ(verdict.chain_valid, verdict.error == ErrorClass::none) << join_words(output);
        if (!verdict.answer_right) continue;
        const std::string text = join_words(prompt) + " | " + join_words(output);
        ASSERT_EQ(output[answer], "ANS") << text;
        ASSERT_TRUE(oracle::answer_right(
            prompt, {output.begin() + static_cast<std::ptrdiff_t>(answer) + 1, output.end() - 1}))
            << text;
        if (!verdict.chain_valid || place > answer) continue;
        // Only another row operation with the same result can stand there.
        ASSERT_TRUE(oracle::operations_hold(prompt, output)) << text;
      }
    }
  }
  EXPECT_GT(refused, 10000);
  EXPECT_GT(accepted, 0);
}

TEST(ExamFamilyJudge, SurvivesGarbage) {
  constexpr uint64_t seed = 413;
  SCOPED_TRACE("seed " + std::to_string(seed));
  const Vocabulary vocabulary;
  const Words odd = {"",     "SUB", "PIV",     "ROW", "COL",
                     "UNDO", "NL",  "ANS",     "EOS", ":",
                     ";",    "R1",  "R9",      "/2",  "99999999999999999999",
                     "-0",   "EQ",  "INVERSE", "NONE"};
  for (const Family* family : exam_families()) {
    for (uint64_t index = 0; index < 900; ++index) {
      CounterRng rng({seed, fnv1a64(family->name()), index});
      const Words prompt = family->generate(rng).prompt;
      const ChainFormat format = chain_formats.at(index % chain_formats.size());
      Words output = index % 2 == 0 ? Words{} : family->solve(prompt, format);
      for (int64_t left = rng.uniform(0, 30); left > 0; --left) {
        const std::string word =
            rng.chance(.4) ? odd[static_cast<size_t>(rng.uniform(0, static_cast<int64_t>(odd.size()) - 1))]
                           : vocabulary.word(rng.uniform(0, vocabulary.size() - 1));
        const auto place = rng.uniform(0, static_cast<int64_t>(output.size()));
        if (rng.chance(.5) || output.empty()) {
          output.insert(output.begin() + place, word);
        } else {
          output.erase(output.begin() + std::min(place, static_cast<int64_t>(output.size()) - 1));
        }
      }
      Verdict verdict;
      ASSERT_NO_THROW(verdict = family->judge(prompt, output, format))
          << join_words(prompt) << join_words(output);
      ASSERT_LE(verdict.chain_words, static_cast<int>(output.size()));
      for (const StepVerdict& step : verdict.steps) {
        ASSERT_TRUE(step.begin < step.end && step.end <= verdict.chain_words);
        ASSERT_EQ(step.valid, step.reason.empty() && step.error == ErrorClass::none) << join_words(output);
      }
    }
  }
}

// Right outputs cut anywhere are truncated and never right.
TEST(ExamFamilyJudge, CallsACutOutputTruncated) {
  for (const Family* family : exam_families()) {
    CounterRng rng({uint64_t{414}, fnv1a64(family->name())});
    const Words prompt = family->generate(rng).prompt;
    const Words output = family->solve(prompt, ChainFormat::prod);
    for (size_t length = 0; length < output.size(); ++length) {
      const Verdict verdict = family->judge(prompt, std::span(output).first(length), ChainFormat::prod);
      EXPECT_FALSE(verdict.answer_right || verdict.chain_valid || verdict.finished);
      EXPECT_EQ(verdict.error, ErrorClass::truncated) << join_words(output) << length;
    }
  }
}

Verdict judge_delta(const Family& family, const std::string& prompt, const std::string& output) {
  return family.judge(words_of(prompt), words_of(output), ChainFormat::delta);
}

TEST(ExamFamilyJudge, NamesTheFirstFault) {
  const std::string prompt = "NULL 0 1 2 2 ; 0 3 8 7 ; 0 0 4 2 ;";
  const std::string down = "SUB R2 R1 3 : 0 0 2 1 NL SUB R3 R2 2 : 0 0 0 0 NL ";
  const std::string up = "DIV R2 2 : 0 0 1 1 /2 NL SUB R1 R2 2 : 0 1 0 1 NL ";
  const std::string lists = "PIV 2 3 NL FREE 1 4 NL ";
  const std::string answer = "ANS 1 0 0 0 ; 0 -1 -1 /2 1 ; EOS";
  const Family& family = null_space();
  EXPECT_EQ(judge_delta(family, prompt, down + up + lists + answer).error, ErrorClass::none);
  EXPECT_EQ(judge_delta(family, prompt, down + lists + answer).error, ErrorClass::policy);
  EXPECT_EQ(judge_delta(family, prompt, down + up + answer).error, ErrorClass::policy);
  EXPECT_EQ(judge_delta(family, prompt, down + up + "PIV 2 4 NL FREE 1 4 NL " + answer).error,
            ErrorClass::arithmetic);
  EXPECT_EQ(judge_delta(family, prompt, down + up + "PIV 2 : NL FREE 1 4 NL " + answer).error,
            ErrorClass::format);
  EXPECT_EQ(judge_delta(family, prompt, down + up + lists + "ANS 1 0 0 0 ; 0 1 -1 /2 1 ; EOS").error,
            ErrorClass::final_copy);
  EXPECT_EQ(judge_delta(family, prompt, down + up + lists + "ANS 1 0 0 0 0 -1 -1 /2 1 ; EOS").error,
            ErrorClass::format);
  EXPECT_EQ(judge_delta(family, prompt, "SUB R2 R1 3 : 0 0 2 2 NL " + answer).error, ErrorClass::arithmetic);
  // A wrong row that is used rightly is one fault, not two.
  const Verdict slip =
      judge_delta(family, prompt, "SUB R2 R1 3 : 0 0 2 2 NL SUB R3 R2 2 : 0 0 0 -2 NL " + answer);
  ASSERT_EQ(slip.steps.size(), 2U);
  EXPECT_FALSE(slip.steps[0].valid);
  EXPECT_TRUE(slip.steps[1].valid);
  EXPECT_TRUE(slip.answer_right);
  EXPECT_FALSE(slip.chain_valid);

  const std::string no = "MEMBER 1 0 5 ; -1 2 2 ; 0 -4 -4 ;";
  const std::string found = "SUB R2 R1 -1 : 0 2 7 NL SUB R3 R2 -2 : 0 0 10 NL ROW R3 : 0 0 1 NL ";
  EXPECT_EQ(
      judge_delta(member(), no, found + "SUB R2 R3 -2 : 2 NL SUB R1 R2 -1 : 2 NL ANS NO 2 2 1 ; EOS").error,
      ErrorClass::none);
  EXPECT_EQ(judge_delta(member(), no, found + "ANS NO 2 2 1 ; EOS").error, ErrorClass::policy);
  EXPECT_EQ(judge_delta(member(), no, "ROW R3 : 0 0 1 NL ANS NO 2 2 1 ; EOS").steps[0].reason,
            "R3 is no contradiction");
  EXPECT_EQ(judge_delta(fact_count(), "FACT_COUNT 3 5 3 ;", "ROW : 0 NL COL : 1 NL ANS ALWAYS MANY EOS")
                .steps[1]
                .reason,
            "5 - 3 should be 2");
  EXPECT_EQ(judge_delta(fact_count(), "FACT_COUNT 3 5 3 ;", "ROW : 0 NL ANS ALWAYS MANY EOS").error,
            ErrorClass::policy);
  EXPECT_EQ(judge_delta(undo(), "UNDO 1 2 ; 0 0 ; SUB R2 R1 3 ;",
                        "UNDO NL SUB R2 R1 -3 : 3 6 NL ANS 1 0 ; -3 1 ; : 1 2 ; 3 6 ; EOS")
                .error,
            ErrorClass::policy);
  EXPECT_EQ(judge_delta(solution_set(), "SOLSET 1 ; 4 0 ; 2 1 ;",
                        "PIV 1 NL FREE 2 NL ROW R1 : 1 2 : 4 NL ANS 1 -2 4 ; EOS")
                .error,
            ErrorClass::arithmetic);
}

}  // namespace
}  // namespace giantrabbit::data
