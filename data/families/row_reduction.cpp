// Row reduction (RREF): the prompt is a matrix, the answer its reduced row echelon form, the chain the
// operations. Kept invariant: a prompt that passes validate() has a reference solution whose every value is a
// word, in all formats, and the verdict's groups (steps, fractions) do not depend on the format.
//
// Note: training keeps a problem with probability training_weight(): 1/9 for plain ones, times 5 when a SUB
// line meets a fraction, times 1.4 or 1.8 when a value exceeds 20 or 40, times 0.4 for two steps or fewer.
// These are the steps that trained models still get wrong; validation and test keep the generator's own law.
#include <array>
#include <stdexcept>

#include <fmt/format.h>

#include "data/chain.h"
#include "data/elimination.h"
#include "data/families/families.h"
#include "data/families/matrix_law.h"
#include "data/json_values.h"
#include "data/split.h"
#include "data/vocabulary.h"
#include "data/words.h"

namespace giantrabbit::data {
namespace {

constexpr int most_rows = 8;
constexpr int most_columns = 8;

constexpr std::array<WeightedShape, 4> exam_shapes = {{{2, 3, .14}, {3, 3, .29}, {3, 4, .40}, {3, 5, .17}}};
constexpr std::array<WeightedShape, 1> tall_shapes = {{{4, 5, 1}}};

class RowReduction final : public Family {
 public:
  explicit RowReduction(std::span<const WeightedShape> shapes) : shapes_(shapes) {}

  std::string_view name() const override { return "RREF"; }
  std::string_view summary() const override {
    return "given the rows of a matrix, asks for its reduced row echelon form";
  }

  Problem generate(CounterRng& rng) const override { return {"", write_prompt(draw_matrix(rng, shapes_))}; }

  Problem from_json(const nlohmann::json& given) const override {
    Problem problem{"", write_prompt(json_matrix(given, "A"))};
    validate(problem.prompt);
    return problem;
  }

  void validate(const Words& prompt) const override { (void)read(prompt); }

  Words solve(const Words& prompt, ChainFormat format) const override {
    const auto [start, reduction, survey] = read(prompt);
    return write_solution(start, reduction, format);
  }

  Verdict judge(const Words& prompt, std::span<const std::string> output, ChainFormat format) const override {
    const auto [start, reduction, survey] = read(prompt);
    const Words reference = write_solution(start, reduction, format);
    const OutputParts parts = split_output(output);
    Verdict verdict = begin_verdict(parts, reference);
    // The same whatever the format, so that results without chains are shown by the same groups.
    verdict.reference_steps = static_cast<int>(reduction.operations.size());
    verdict.has_fraction = survey.fraction;
    ChainReader reader(start, format);
    for (const auto& line : parts.lines) verdict.steps.push_back(reader.read(output, line));
    mark_reference_steps(verdict, output, reference);
    const auto answer = read_rows(parts.answer);
    const bool complete = format == ChainFormat::answer_only || reader.state() == reduction.rref;
    conclude(verdict, parts, {complete, answer.has_value(), answer == reduction.rref});
    return verdict;
  }

  std::string canonical(const Words& prompt) const override {
    return canonical_matrix(read_prompt_matrix(prompt, most_rows, most_columns));
  }

  std::string stratum(const Words& prompt) const override {
    const Matrix matrix = read_prompt_matrix(prompt, most_rows, most_columns);
    return fmt::format("{}x{}", matrix.rows(), matrix.columns());
  }

  double training_weight(const Words& prompt) const override {
    const Matrix matrix = read_prompt_matrix(prompt, most_rows, most_columns);
    const Reduction reduction = reduce(matrix);
    const ChainSurvey survey = survey_chain(matrix, reduction.operations);
    double weight = 1. / 9;
    if (reduction.operations.size() <= 2) weight *= .4;
    if (survey.subtract_fraction) weight *= 5;
    if (survey.largest > 20) weight *= survey.largest > 40 ? 1.8 : 1.4;
    return weight;
  }

 private:
  struct Task {
    Matrix start;
    Reduction reduction;
    ChainSurvey survey;
  };

  Words write_prompt(const Matrix& matrix) const {
    Words prompt = {std::string(name())};
    append_rows(prompt, matrix);
    return prompt;
  }

  static Words write_solution(const Matrix& start, const Reduction& reduction, ChainFormat format) {
    Words words;
    append_chain(words, start, reduction.operations, format);
    words.emplace_back("ANS");
    append_rows(words, reduction.rref);
    words.emplace_back("EOS");
    return words;
  }

  static Task read(const Words& prompt) {
    Task task{read_prompt_matrix(prompt, most_rows, most_columns), {}, {}};
    try {
      task.reduction = reduce(task.start);
      task.survey = survey_chain(task.start, task.reduction.operations);
    } catch (const std::overflow_error&) {
      throw ProblemError("RREF: the row reduction of this matrix meets values beyond 64 bits");
    }
    if (task.survey.outside) {
      throw ProblemError(
          fmt::format("RREF: the row reduction of this matrix meets {}, outside the vocabulary "
                      "(numerators {}..{}, denominators up to {})",
                      task.survey.outside->text(), -max_whole, max_whole, max_denominator));
    }
    return task;
  }

  std::span<const WeightedShape> shapes_;
};

}  // namespace

const Family& row_reduction() {
  static const RowReduction family(exam_shapes);
  return family;
}

const Family& row_reduction_4x5() {
  static const RowReduction family(tall_shapes);
  return family;
}

}  // namespace giantrabbit::data
