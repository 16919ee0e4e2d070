// What the nine exam families share: the base class, and judging of lines. In: prompts and a model's words.
// Out: problems that fit the vocabulary, and verdicts. Kept invariant: nothing a model writes makes a judge
// throw.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/chain.h"
#include "data/elimination.h"
#include "data/families/chain_family.h"
#include "data/problem.h"
#include "data/words.h"

namespace giantrabbit::data {

inline constexpr int most_family_rows = 8;  // R1 .. R8
inline constexpr int most_family_columns = 9;

// "PIV 2 3 NL": columns counted from 1.
void append_columns(Words& words, std::string_view name, std::span<const int> columns);
// Judges such a line, name included, against the right columns.
void judge_columns(std::span<const std::string> words, std::span<const int> right, StepVerdict& verdict);

// What the nine have in common beside their parts: drawing until the solution fits.
class ExamFamily : public ChainFamily {
 public:
  Problem generate(CounterRng& rng) const final;
  // Problems with a fraction, and those that is_rare() names, are kept 2.5 times as often as the others:
  // these are the lines that trained models still get wrong.
  double training_weight(const Words& prompt) const final;

 protected:
  // Whether the family's own law draws too few problems of this kind for a model to learn them as well.
  virtual bool is_rare(const Words& prompt) const;
  // A prompt that often has a solution inside the vocabulary; may throw ProblemError.
  virtual Words draw(CounterRng& rng) const = 0;

  Words matrix_prompt(const Matrix& matrix) const;
};

// Downward elimination and, for the reduced goal, the upward part, then "PIV .." and, where asked for, "FREE
// ..". Only the first `columns` columns hold unknowns; the rest are right sides.
class EliminationJudge : public ChainJudge {
 public:
  enum class Goal { echelon, reduced, reduced_with_free };
  EliminationJudge(Matrix start, int columns, Goal goal, ChainFormat format);
  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line) override;
  bool complete() const override;

 protected:
  const Matrix& state() const { return reader_.state(); }
  ChainFormat format() const { return format_; }

 private:
  std::optional<std::vector<int>> pivots() const;  // of the state, once it has the goal's form

  ChainReader reader_;
  ChainFormat format_;
  int columns_;
  Goal goal_;
  bool pivots_said_ = false;
  bool free_said_ = false;
};

// The columns from 0 to count - 1 that are not among `columns` (ascending).
std::vector<int> other_columns(std::span<const int> columns, int count);
// The part of a reduction that makes the echelon form.
std::span<const Operation> downward_part(const Reduction& reduction);

}  // namespace giantrabbit::data
