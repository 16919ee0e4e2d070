// Chains of row operations as words, and their judge. Writing: one operation a line, only the changed row:
//   SUB Ri Rj f : .. NL   Ri <- Ri - f Rj; prod lists f*Rj and the new entry column by column, delta the new
//   entries DIV Ri p : .. NL      Ri <- Ri / p; the new entries SW Ri Rj : NL         the two rows change
//   places
// Over GF(p) every value is a residue, products too.
// Judging: every line is held against the matrix that the model itself has written so far, so one slip counts
// once.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/elimination.h"
#include "data/matrix.h"
#include "data/problem.h"
#include "data/verdict.h"
#include "data/words.h"

namespace giantrabbit::data {

// Writes one operation and applies it to `state`. Throws ProblemError when a value is outside the vocabulary.
void append_operation(Words& words, const Operation& operation, Matrix& state, ChainFormat format,
                      const Field& field = Field());
// The whole chain of a reduction; nothing for answer_only.
void append_chain(Words& words, const Matrix& start, std::span<const Operation> operations,
                  ChainFormat format, const Field& field = Field());

// What a chain over the rationals meets on its way, start and products included, without writing it.
struct ChainSurvey {
  std::optional<Rational> outside;  // the first value outside the vocabulary
  bool fraction = false;            // any fraction
  bool subtract_fraction = false;   // a fraction in a SUB line (factor, product or entry)
  int64_t largest = 0;              // largest absolute numerator
};
ChainSurvey survey_chain(const Matrix& start, std::span<const Operation> operations);

class ChainReader {
 public:
  ChainReader(Matrix start, ChainFormat format, const Field& field = Field());
  // Judges one line of `output` and moves the state to the rows the line wrote. A line that cannot be read,
  // or whose operation is not allowed, leaves the state as it was.
  StepVerdict read(std::span<const std::string> output, const OutputParts::Line& line);
  const Matrix& state() const { return state_; }

 private:
  struct Written {
    Operation operation;
    Vector products;  // only of a SUB line in prod
    Vector entries;   // the new row; empty for SW
  };
  std::optional<Written> parse(std::span<const std::string> words, std::string& reason) const;
  bool read_columns(WordReader& reader, Written& written, std::string& reason) const;
  Rational new_entry(const Operation& operation, const Rational& target, const Rational& source) const;
  void compare(const Written& written, StepVerdict& verdict) const;
  bool is_stale(const Written& written) const;
  void advance(const Written& written);
  void remember(int row);

  Matrix state_;
  ChainFormat format_;
  Field field_;
  std::vector<std::vector<Vector>> versions_;  // per row: its contents over time, the current one last
};

}  // namespace giantrabbit::data
