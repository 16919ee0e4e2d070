// Exact row reduction in a fixed order, and what follows from it. In: a matrix over the rationals or GF(p).
// Out: the operations, the reduced matrix and its pivots. Kept invariant: applying the operations to the
// matrix, one by one, gives the reduced one.
//
// Order: left to right, the first nonzero entry at or below the pivot row is the pivot (swapped up only when
// the pivot place is 0), rows below are cleared top down; then from the last pivot to the first: divide the
// row by its pivot, clear the rows above top down. Operations that would change nothing are left out.
#pragma once

#include <vector>

#include "data/field.h"
#include "data/matrix.h"

namespace giantrabbit::data {

struct Operation {
  enum class Kind { subtract, divide, swap };
  Kind kind = Kind::subtract;
  int target = 0;
  int source = 0;   // not used by divide
  Rational factor;  // subtract: target <- target - factor * source; divide: target <- target / factor
  friend bool operator==(const Operation& a, const Operation& b) = default;
};

void apply(const Operation& operation, Matrix& matrix, const Field& field = Field());

struct Reduction {
  std::vector<Operation> operations;
  Matrix rref;
  std::vector<int> pivots;  // column of the pivot of row 0, 1, ..
};
Reduction reduce(const Matrix& matrix, const Field& field = Field());

std::vector<int> free_columns(const Reduction& reduction);
// One solution of Ax = 0 per free column, in column order: 1 there, 0 at the other free columns.
std::vector<Vector> special_solutions(const Reduction& reduction);
int rank(const Matrix& matrix);

}  // namespace giantrabbit::data
