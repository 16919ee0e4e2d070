// MEMBER_RULE: how the complete solution of Ax = b decides whether b is in the column space. "NAME rows of A"
// asks for the rule, three cases; "NAME NONE ; rows of A" (no solution; the rows may be missing) and "NAME
// SOLSET particular ; special ; .." ask for the case, and for the coefficients of b when there are any.
// Chain: with special solutions, a second solution (particular + the first special one) shows that there are
// many. Kept invariant: none -> not in; one -> in, columns independent; many -> in, columns dependent.
#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/families/drawing.h"
#include "data/families/families.h"
#include "data/families/support.h"
#include "data/families/vectors.h"
#include "data/json_values.h"
#include "data/split.h"

namespace giantrabbit::data {
namespace {

constexpr std::array<Shape, 8> member_rule_shapes = {
    {{3, 2}, {2, 2}, {2, 3}, {3, 3}, {3, 4}, {4, 2}, {4, 3}, {3, 1}}};

struct Case {
  std::string_view solutions;
  std::string_view member;
  std::string_view columns;  // empty: the case does not tell
};
constexpr std::array<Case, 3> rule = {
    {{"NONE", "NO", ""}, {"UNIQUE", "YES", "INDEPENDENT"}, {"MANY", "YES", "DEPENDENT"}}};
enum CaseIndex { none, unique, many };

struct Question {
  enum class Kind { general, none, set };
  Kind kind = Kind::general;
  Matrix matrix;  // A, or the particular solution above the special ones
};

const Case& case_of(const Question& question) {
  if (question.kind == Question::Kind::none) return rule[none];
  return rule[question.matrix.rows() == 1 ? unique : many];
}

void append_case(Words& words, const Case& one) {
  words.emplace_back(one.solutions);
  words.emplace_back(one.member);
  if (!one.columns.empty()) words.emplace_back(one.columns);
  words.emplace_back(";");
}

// "MANY YES DEPENDENT ;", true or not; empty when the words are no such statement. The index is that of the
// first word.
struct Statement {
  size_t index = 0;
  bool is_true = false;
};
std::optional<Statement> read_case(WordReader& reader) {
  const auto found =
      std::find_if(rule.begin(), rule.end(), [&](const Case& one) { return reader.take(one.solutions); });
  if (found == rule.end()) return std::nullopt;
  const bool yes = reader.take("YES");
  if (!yes && !reader.take("NO")) return std::nullopt;
  std::string_view columns;
  if (reader.take("INDEPENDENT")) {
    columns = "INDEPENDENT";
  } else if (reader.take("DEPENDENT")) {
    columns = "DEPENDENT";
  }
  if (!reader.take(";")) return std::nullopt;
  return Statement{static_cast<size_t>(found - rule.begin()),
                   found->member == (yes ? "YES" : "NO") && found->columns == columns};
}

// Whether `solution` = particular + a combination of the special solutions.
bool is_solution(const Question& question, const Vector& solution) {
  std::vector<Vector> special = rows_of(question.matrix);
  Vector difference = solution;
  for (size_t j = 0; j < difference.size(); ++j) difference[j] = difference[j] - special[0][j];
  special.erase(special.begin());
  const int dimension = span_dimension(special);
  special.push_back(std::move(difference));
  return span_dimension(special) == dimension;
}

class RuleJudge final : public ChainJudge {
 public:
  RuleJudge(Question question, ChainFormat format)
      : question_(std::move(question)), reader_(question_.matrix, format) {}

  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override {
    return reader_.read(output, line);
  }

  bool complete() const override {
    if (question_.kind != Question::Kind::set || question_.matrix.rows() == 1) return true;
    const Vector second = reader_.state().row(0);
    return second != question_.matrix.row(0) && is_solution(question_, second);
  }

 private:
  Question question_;
  ChainReader reader_;
};

class MemberRule final : public ExamFamily {
 public:
  std::string_view name() const override { return "MEMBER_RULE"; }
  std::string_view summary() const override {
    return "given A, asks how the solutions of Ax = b decide whether b is in its column space; given one "
           "solution "
           "set, asks for the case and the coefficients";
  }

  Problem from_json(const nlohmann::json& given) const override {
    if (!given.is_object())
      throw ProblemError(fmt::format("given: expected an object, got {}", given.type_name()));
    const bool has_matrix = given.contains("A");
    if (given.contains("particular")) {
      std::vector<Vector> rows = {json_vector(given, "particular")};
      if (given.contains("special")) {
        for (Vector& special : json_vectors(given, "special")) rows.push_back(std::move(special));
      }
      check_solutions(given, rows.size() == 1 ? "one" : "many");
      Words prompt = {std::string(name()), "SOLSET"};
      append_vectors(prompt, rows);
      return checked(std::move(prompt));
    }
    if (given.contains("solutions")) {
      check_solutions(given, "none");
      return checked(write_none(has_matrix ? json_matrix(given, "A") : Matrix()));
    }
    if (!has_matrix)
      throw ProblemError("given: expected \"A\", \"particular\" or \"solutions\", found none of them");
    return checked(matrix_prompt(json_matrix(given, "A")));
  }

  Words solve(const Words& prompt, ChainFormat format) const override {
    const Question question = read(prompt);
    Words words;
    if (question.kind == Question::Kind::set && question.matrix.rows() > 1) {
      const Operation add_special{Operation::Kind::subtract, 0, 1, -1};
      append_chain(words, question.matrix, std::array{add_special}, format);
    }
    words.emplace_back("ANS");
    if (question.kind == Question::Kind::general) {
      for (const Case& one : rule) append_case(words, one);
    } else {
      append_case(words, case_of(question));
    }
    if (question.kind == Question::Kind::set) append_vectors(words, std::array{question.matrix.row(0)});
    words.emplace_back("EOS");
    return words;
  }

  std::string canonical(const Words& prompt) const override {
    const Question question = read(prompt);
    return question.matrix.rows() == 0 ? "MEMBER_RULE|NONE" : canonical_matrix(question.matrix);
  }

 protected:
  Words draw(CounterRng& rng) const override {
    const Shape shape = draw_shape(rng, member_rule_shapes);
    const double kind = rng.unit();
    if (kind < .25) return matrix_prompt(draw_ranked_matrix(rng, shape, draw_rank(rng, shape)));
    if (kind < .45) return write_none(draw_ranked_matrix(rng, shape, draw_rank(rng, shape)));
    const bool one_solution = rng.chance(.4);
    const int rank = one_solution ? std::min(shape.rows, shape.columns) : draw_rank(rng, shape);
    auto special = special_solutions(reduce(draw_reduced(rng, shape, rank)));
    if (one_solution) special.clear();
    Vector particular(static_cast<size_t>(shape.columns));
    const int64_t most = rng.chance(.2) ? 30 : 9;
    for (Rational& entry : particular) entry = Rational(rng.uniform(-most, most), rng.chance(.06) ? 2 : 1);
    Words prompt = {std::string(name()), "SOLSET"};
    append_vectors(prompt, std::array{particular});
    append_vectors(prompt, special);
    return prompt;
  }

  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    return std::make_unique<RuleJudge>(read(prompt), format);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    const Question question = read(prompt);
    WordReader reader(answer);
    const bool general = question.kind == Question::Kind::general;
    std::array<bool, rule.size()> told{};
    for (size_t left = general ? rule.size() : 1; left > 0; --left) {
      const auto statement = read_case(reader);
      if (!statement) return std::nullopt;
      told.at(statement->index) = statement->is_true;
    }
    Vector solution;
    if (question.kind == Question::Kind::set) {
      const auto vectors = read_vectors(answer.subspan(reader.position()), question.matrix.row(0).size());
      if (!vectors || vectors->size() > 1) return std::nullopt;
      if (vectors->empty()) return false;
      solution = vectors->front();
    } else if (!reader.done()) {
      return std::nullopt;
    }
    if (general) return told == std::array<bool, rule.size()>{true, true, true};
    const auto right = static_cast<size_t>(&case_of(question) - rule.data());
    return told.at(right) && (solution.empty() || is_solution(question, solution));
  }

 private:
  static void check_solutions(const nlohmann::json& given, std::string_view expected) {
    if (given.contains("solutions") && given["solutions"] != expected) {
      throw ProblemError(fmt::format("given.solutions: expected \"{}\" for what else is given, got {}",
                                     expected, given["solutions"].dump()));
    }
  }

  Words write_none(const Matrix& matrix) const {
    Words prompt = {std::string(name()), "NONE", ";"};
    append_rows(prompt, matrix);
    return prompt;
  }

  static Question read(const Words& prompt) {
    Question question;
    const std::string second = prompt.size() > 1 ? prompt[1] : "";
    Words rows = prompt;
    if (second == "NONE" || second == "SOLSET") rows.erase(rows.begin() + 1);
    if (second == "NONE") {
      question.kind = Question::Kind::none;
      if (rows.size() < 2 || rows[1] != ";") {
        throw ProblemError("MEMBER_RULE: expected \";\" after NONE, then nothing or the rows of A");
      }
      rows.erase(rows.begin() + 1);
      if (rows.size() == 1) return question;
    }
    if (second == "SOLSET") question.kind = Question::Kind::set;
    question.matrix = read_prompt_matrix(rows, most_family_rows, most_family_columns);
    for (int row = 1; question.kind == Question::Kind::set && row < question.matrix.rows(); ++row) {
      if (is_zero(question.matrix.row(row))) {
        throw ProblemError(fmt::format("MEMBER_RULE: special solution {} is the zero vector", row));
      }
    }
    return question;
  }
};

}  // namespace

const Family& member_rule() {
  static const MemberRule family;
  return family;
}

}  // namespace giantrabbit::data
