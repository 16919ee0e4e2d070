// In: a family's parts and a model's words. Out: problems and verdicts. Kept invariant: a line counts as
// valid only when every word of it follows from the state the model wrote before.
#include "data/families/support.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

namespace giantrabbit::data {
namespace {

constexpr size_t most_output_words = 180;  // of generated problems

// Columns of the first nonzero entries, when each row of the first `columns` columns begins further right
// than the row above and zero rows come last.
std::optional<std::vector<int>> echelon_pivots(const Matrix& matrix, int columns) {
  std::vector<int> pivots;
  for (int i = 0; i < matrix.rows(); ++i) {
    int first = 0;
    while (first < columns && matrix(i, first).is_zero()) ++first;
    if (first == columns) continue;
    const bool after_zero_row = static_cast<int>(pivots.size()) < i;
    if (after_zero_row || (!pivots.empty() && first <= pivots.back())) return std::nullopt;
    pivots.push_back(first);
  }
  return pivots;
}

bool is_reduced(const Matrix& matrix, std::span<const int> pivots) {
  for (int place = 0; place < static_cast<int>(pivots.size()); ++place) {
    for (int i = 0; i < matrix.rows(); ++i) {
      if (matrix(i, pivots[static_cast<size_t>(place)]) != Rational(i == place ? 1 : 0)) return false;
    }
  }
  return true;
}

}  // namespace

void append_columns(Words& words, std::string_view name, std::span<const int> columns) {
  words.emplace_back(name);
  for (const int column : columns) words.push_back(std::to_string(column + 1));
  words.emplace_back("NL");
}

void judge_columns(std::span<const std::string> words, std::span<const int> right, StepVerdict& verdict) {
  Words expected;
  append_columns(expected, words[0], right);
  expected.pop_back();
  verdict.valid = std::equal(words.begin(), words.end(), expected.begin(), expected.end());
  if (verdict.valid) return;
  const bool numbers = std::all_of(words.begin() + 1, words.end(), [](const std::string& word) {
    return WordReader(std::span(&word, 1)).value().has_value();
  });
  refuse(verdict, numbers ? ErrorClass::arithmetic : ErrorClass::format,
         fmt::format("the line should be \"{}\"", join_words(expected)));
}

Problem ExamFamily::generate(CounterRng& rng) const {
  for (;;) {
    try {
      Words prompt = draw(rng);
      if (solve(prompt, ChainFormat::prod).size() <= most_output_words) return {"", std::move(prompt)};
    } catch (const ProblemError&) {
      continue;  // a value left the vocabulary
    }
  }
}

double ExamFamily::training_weight(const Words& prompt) const {
  return is_rare(prompt) || has_denominator(solve(prompt, ChainFormat::prod)) ? 1 : .4;
}

bool ExamFamily::is_rare(const Words&) const { return false; }

Words ExamFamily::matrix_prompt(const Matrix& matrix) const {
  Words prompt = {std::string(name())};
  append_rows(prompt, matrix);
  return prompt;
}

EliminationJudge::EliminationJudge(Matrix start, int columns, Goal goal, ChainFormat format)
    : reader_(std::move(start), format), format_(format), columns_(columns), goal_(goal) {}

std::optional<std::vector<int>> EliminationJudge::pivots() const {
  auto pivots = echelon_pivots(state(), columns_);
  if (pivots && goal_ != Goal::echelon && !is_reduced(state(), *pivots)) return std::nullopt;
  return pivots;
}

StepVerdict EliminationJudge::read(std::span<const std::string> output, const OutputParts::Line& line) {
  const std::string& name = output[static_cast<size_t>(line.begin)];
  if (name != "PIV" && name != "FREE") return reader_.read(output, line);
  StepVerdict verdict;
  const auto words = line_words(output, line, format_, verdict);
  if (!words) return verdict;
  const auto found = pivots();
  if (!found) {
    refuse(verdict, ErrorClass::policy, fmt::format("{} comes before the rows are reduced", name));
    return verdict;
  }
  const bool pivot_line = name == "PIV";
  judge_columns(*words, pivot_line ? *found : other_columns(*found, columns_), verdict);
  if (verdict.valid) (pivot_line ? pivots_said_ : free_said_) = true;
  return verdict;
}

bool EliminationJudge::complete() const {
  return pivots_said_ && (free_said_ || goal_ != Goal::reduced_with_free) && pivots().has_value();
}

std::vector<int> other_columns(std::span<const int> columns, int count) {
  std::vector<int> others;
  for (int column = 0; column < count; ++column) {
    if (!std::binary_search(columns.begin(), columns.end(), column)) others.push_back(column);
  }
  return others;
}

std::span<const Operation> downward_part(const Reduction& reduction) {
  const auto& operations = reduction.operations;
  // The upward part divides a row or changes a row above its source, which the downward part never does.
  const auto upward = std::find_if(operations.begin(), operations.end(), [](const Operation& operation) {
    return operation.kind == Operation::Kind::divide ||
           (operation.kind == Operation::Kind::subtract && operation.target < operation.source);
  });
  return {operations.begin(), upward};
}

}  // namespace giantrabbit::data
