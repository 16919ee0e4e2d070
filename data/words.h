// Reading and writing values, rows and outputs as words. Reading never throws on a model's output: what is
// not there comes back empty. A value may be written in any terms ("2 /4" reads as 1/2); writing uses lowest
// terms.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/matrix.h"
#include "data/problem.h"

namespace giantrabbit::data {

void append_values(Words& words,
                   std::span<const Rational> values);  // throws ProblemError outside the vocabulary
void append_rows(Words& words, const Matrix& matrix);  // each row ended by ";"

// Reads words one after the other; a read that fails leaves the position where it was.
class WordReader {
 public:
  explicit WordReader(std::span<const std::string> words) : words_(words) {}
  bool done() const { return position_ == words_.size(); }
  size_t position() const { return position_; }
  bool take(std::string_view word);
  std::optional<Rational> value();             // "-7" or "-7", "/2", inside the vocabulary's range
  std::optional<Vector> values(size_t count);  // exactly that many
  std::optional<int> row(int rows);            // "R2" -> 1, only for R1 .. R<rows>

 private:
  std::span<const std::string> words_;
  size_t position_ = 0;
};

// Rows of values, each ended by ";", all of one length, nothing else, at least one.
std::optional<Matrix> read_rows(std::span<const std::string> words);

// The matrix of a prompt "NAME a b ; c d ;". Throws ProblemError that names the family and what is wrong.
Matrix read_prompt_matrix(const Words& prompt, int most_rows, int most_columns);

// An output cut into its parts. Words after EOS do not count.
struct OutputParts {
  struct Line {
    int begin = 0;  // words [begin, end) of the output; the last one is NL when `closed`
    int end = 0;
    bool closed = false;
  };
  std::vector<Line> lines;              // the chain, one operation each
  int chain_words = 0;                  // words before ANS, or all of them when there is no ANS
  bool has_answer = false;              // ANS was written
  bool finished = false;                // EOS was written
  std::span<const std::string> answer;  // between ANS and EOS
};
OutputParts split_output(std::span<const std::string> output);

}  // namespace giantrabbit::data
