// Which earlier words a written word is computed from, known from the task and not from the model.
//
// For families whose chain is row operations on the prompt's matrix (RREF, NULL, COLSP, BLOCK, MEMBER as long
// as its lines are operations). Every matrix entry has one latest place: the words of the prompt, or of the
// last line that wrote its row (SW exchanges the places of two rows). A word needs
//   product in "SUB Ri Rj f":      the words of f, the latest entry of Rj in its column
//   new entry of SUB in prod:      the product just written before it, the latest entry of Ri in its column
//   new entry of SUB in delta:     the words of f, the latest entries of Ri and Rj in its column
//   new entry of "DIV Ri p":       the words of p, the latest entry of Ri in its column
//   f or p, when it is what clears or divides: the latest entries of Rj (or Ri) and Ri in the column where Rj
//                                  (Ri for DIV) has its first entry that is not 0
//   value of RREF's answer:        the latest entry of that place
// as `values`, and as `header` the operation and row labels of its own line (the answer has none). A
// fraction's denominator needs what its numerator needs. Everything else has no need that is well defined and
// is not counted: which operation comes next, punctuation, PIV and FREE lines, other answers, and all words
// behind a line that cannot be read. Lines are read as written, right or wrong.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "data/problem.h"

namespace giantrabbit::eval {

// A word of the prompt or of the output, counted from 0.
struct Place {
  bool in_prompt = false;
  int64_t index = 0;
  friend auto operator<=>(const Place& a, const Place& b) = default;
};

using Places = std::vector<Place>;

struct WordNeed {
  Places values;
  Places header;
  bool is_defined() const { return !values.empty(); }
};

// One per word of the output.
std::vector<WordNeed> find_needs(const data::Words& prompt, std::span<const std::string> output,
                                 data::ChainFormat format);

}  // namespace giantrabbit::eval
