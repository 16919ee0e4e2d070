// MEMBER: given [A|b], whether b is in the column space of A: YES with coefficients x (Ax = b), or NO with a
// witness y (yA = 0, y.b != 0). Chain for yes: the reduction and the pivot columns. Chain for no: downward
// elimination up to a row "0 .. 0 | c", then "ROW Rk : unit vector" and the operations walked back on y. Kept
// invariant: any such x or y is right, and for yes also EQ with equations of the column space.
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

constexpr std::array<Shape, 8> member_shapes = {
    {{3, 2}, {2, 2}, {3, 3}, {2, 3}, {4, 2}, {4, 3}, {3, 1}, {2, 1}}};

// The first row that is zero in all but the last column.
std::optional<int> contradiction(const Matrix& augmented) {
  const int last = augmented.columns() - 1;
  for (int row = 0; row < augmented.rows(); ++row) {
    int first = 0;
    while (augmented(row, first).is_zero() && first < last) ++first;
    if (first == last && !augmented(row, last).is_zero()) return row;
  }
  return std::nullopt;
}

Matrix unit_column(int rows, int row) {
  Matrix unit(rows, 1);
  unit(row, 0) = 1;
  return unit;
}

bool is_witness(const Matrix& matrix, const Vector& right, const Vector& witness) {
  return is_zero(product(matrix.transposed(), witness)) && !dot(witness, right).is_zero();
}

// What a combination y of the rows after the operations is as a combination of the rows before them: the
// operations backwards with target and source exchanged. Those that would change nothing are left out.
std::vector<Operation> walk_back(std::span<const Operation> operations, Matrix& combination) {
  std::vector<Operation> steps;
  for (auto operation = operations.rbegin(); operation != operations.rend(); ++operation) {
    Operation step = *operation;
    if (step.kind == Operation::Kind::subtract) std::swap(step.target, step.source);
    const Matrix before = combination;
    apply(step, combination);
    if (combination != before) steps.push_back(step);
  }
  return steps;
}

struct Membership {
  std::vector<Operation> operations;  // on [A|b]
  std::vector<int> pivots;
  std::optional<int> contradiction;
  std::vector<Operation> back;  // on y
  Vector certificate;           // coefficients or witness
};

Membership decide(const Matrix& augmented) {
  const Reduction reduction = reduce(without_last_column(augmented));
  const auto downward = downward_part(reduction);
  Membership result{reduction.operations, reduction.pivots, std::nullopt, {}, {}};
  Matrix state = augmented;
  for (const Operation& operation : downward) apply(operation, state);
  result.contradiction = contradiction(state);
  if (result.contradiction) {
    result.operations.assign(downward.begin(), downward.end());
    Matrix combination = unit_column(augmented.rows(), *result.contradiction);
    result.back = walk_back(downward, combination);
    result.certificate = combination.column(0);
    return result;
  }
  for (size_t i = downward.size(); i < reduction.operations.size(); ++i)
    apply(reduction.operations[i], state);
  result.certificate.resize(static_cast<size_t>(augmented.columns() - 1));
  for (size_t place = 0; place < reduction.pivots.size(); ++place) {
    result.certificate[static_cast<size_t>(reduction.pivots[place])] =
        state(static_cast<int>(place), augmented.columns() - 1);
  }
  return result;
}

class MemberJudge final : public EliminationJudge {
 public:
  MemberJudge(const Matrix& augmented, ChainFormat format)
      : EliminationJudge(augmented, augmented.columns() - 1, Goal::reduced, format), augmented_(augmented) {}

  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override {
    const std::string& name = output[static_cast<size_t>(line.begin)];
    if (name == "ROW") return start_witness(output, line);
    if (witness_ && name != "PIV" && name != "FREE") return witness_->read(output, line);
    return EliminationJudge::read(output, line);
  }

  bool complete() const override {
    if (!witness_) return EliminationJudge::complete() && !contradiction(state());
    return is_witness(without_last_column(augmented_), augmented_.column(augmented_.columns() - 1),
                      witness_->state().column(0));
  }

 private:
  StepVerdict start_witness(std::span<const std::string> output, const OutputParts::Line& line) {
    StepVerdict verdict;
    const auto words = line_words(output, line, format(), verdict);
    if (!words) return verdict;
    WordReader reader(*words);
    reader.take("ROW");
    const auto row = reader.row(augmented_.rows());
    const bool colon = row && reader.take(":");
    const auto entries = colon ? reader.values(static_cast<size_t>(augmented_.rows())) : std::nullopt;
    if (!entries || !reader.done()) {
      refuse(verdict, ErrorClass::format,
             fmt::format("the line is not \"ROW Ri : {} entries\"", augmented_.rows()));
      return verdict;
    }
    const bool contradicts = is_contradiction(*row);
    verdict.valid = contradicts && *entries == unit_column(augmented_.rows(), *row).column(0);
    if (!contradicts) {
      refuse(verdict, ErrorClass::policy, fmt::format("R{} is no contradiction", *row + 1));
    } else if (!verdict.valid) {
      refuse(verdict, ErrorClass::arithmetic, fmt::format("the combination should be R{} alone", *row + 1));
    }
    witness_.emplace(Matrix::from_rows({*entries}).transposed(), format());
    return verdict;
  }

  bool is_contradiction(int row) const {
    return contradiction(Matrix::from_rows({state().row(row)})).has_value();
  }

  Matrix augmented_;
  std::optional<ChainReader> witness_;  // on y, once a contradiction was named
};

class Member final : public ExamFamily {
 public:
  std::string_view name() const override { return "MEMBER"; }
  std::string_view summary() const override {
    return "given the rows of [A|b], asks whether b is in the column space of A, with coefficients or a "
           "witness";
  }

  Problem from_json(const nlohmann::json& given) const override {
    const Matrix matrix = json_matrix(given, "A");
    const Vector right = json_vector(given, "b");
    if (static_cast<int>(right.size()) != matrix.rows()) {
      throw ProblemError(fmt::format("given.b: expected {} entries, got {}", matrix.rows(), right.size()));
    }
    return checked(matrix_prompt(with_column(matrix, right)));
  }

  Words solve(const Words& prompt, ChainFormat format) const override {
    const Matrix augmented = read(prompt);
    const Membership membership = decide(augmented);
    Words words;
    append_chain(words, augmented, membership.operations, format);
    if (format != ChainFormat::answer_only && membership.contradiction) {
      const Matrix unit = unit_column(augmented.rows(), *membership.contradiction);
      words.insert(words.end(), {"ROW", "R" + std::to_string(*membership.contradiction + 1), ":"});
      append_values(words, unit.column(0));
      words.emplace_back("NL");
      append_chain(words, unit, membership.back, format);
    } else if (format != ChainFormat::answer_only) {
      append_columns(words, "PIV", membership.pivots);
    }
    words.insert(words.end(), {"ANS", membership.contradiction ? "NO" : "YES"});
    append_vectors(words, std::array{membership.certificate});
    words.emplace_back("EOS");
    return words;
  }

  std::string canonical(const Words& prompt) const override { return canonical_matrix(read(prompt)); }

 protected:
  Words draw(CounterRng& rng) const override {
    const Shape shape = draw_shape(rng, member_shapes);
    const bool outside = rng.chance(.5);
    const int rank = std::min(draw_rank(rng, shape), outside ? shape.rows - 1 : shape.rows);
    const Matrix matrix = draw_ranked_matrix(rng, shape, rank);
    Vector coefficients(static_cast<size_t>(shape.columns));
    for (Rational& entry : coefficients) entry = Rational(rng.uniform(-5, 5), rng.chance(.15) ? 2 : 1);
    Vector right = product(matrix, coefficients);
    // Halves stay only where b is whole, as in a textbook.
    const bool whole =
        std::all_of(right.begin(), right.end(), [](const Rational& r) { return r.is_integer(); });
    for (Rational& entry : right) entry = entry * Rational(whole ? 1 : 2);
    if (outside) {
      for (int64_t left = rng.uniform(1, 2); left > 0; --left) {
        Rational& entry = right[static_cast<size_t>(rng.uniform(0, shape.rows - 1))];
        entry = entry + Rational(rng.uniform(1, 5));
      }
    }
    return matrix_prompt(with_column(matrix, right));
  }

  std::unique_ptr<ChainJudge> chain_judge(const Words& prompt, ChainFormat format) const override {
    return std::make_unique<MemberJudge>(read(prompt), format);
  }

  std::optional<bool> grade(const Words& prompt, std::span<const std::string> answer) const override {
    const Matrix augmented = read(prompt);
    const Matrix matrix = without_last_column(augmented);
    const Vector right = augmented.column(augmented.columns() - 1);
    WordReader reader(answer);
    const bool yes = reader.take("YES");
    if (!yes && !reader.take("NO")) return std::nullopt;
    const bool equations = yes && reader.take("EQ");
    const int length = yes && !equations ? matrix.columns() : matrix.rows();
    const auto vectors = read_vectors(answer.subspan(reader.position()), static_cast<size_t>(length));
    if (!vectors || (!equations && vectors->size() != 1)) return std::nullopt;
    if (equations) {
      return spans_null_space(matrix.transposed(), *vectors) &&
             std::all_of(vectors->begin(), vectors->end(),
                         [&](const Vector& equation) { return dot(equation, right).is_zero(); });
    }
    if (yes) return product(matrix, vectors->front()) == right;
    return is_witness(matrix, right, vectors->front());
  }

 private:
  static Matrix read(const Words& prompt) {
    Matrix augmented = read_prompt_matrix(prompt, most_family_rows, most_family_columns);
    if (augmented.columns() < 2) {
      throw ProblemError("MEMBER: expected [A|b] with at least two columns, got one");
    }
    return augmented;
  }
};

}  // namespace

const Family& member() {
  static const Member family;
  return family;
}

}  // namespace giantrabbit::data
