// In: a matrix. Out: its reduction in the fixed order of the header. Kept invariant: the reduced matrix is
// made only by apply(), so the listed operations are the whole story.
#include "data/elimination.h"

#include <algorithm>
#include <utility>

namespace giantrabbit::data {
namespace {

void perform(Reduction& reduction, const Operation& operation, const Field& field) {
  apply(operation, reduction.rref, field);
  reduction.operations.push_back(operation);
}

void clear_row(Reduction& reduction, int target, int source, int column, const Field& field) {
  const Rational entry = reduction.rref(target, column);
  if (entry.is_zero()) return;
  const Rational factor = field.divide(entry, reduction.rref(source, column));
  perform(reduction, {Operation::Kind::subtract, target, source, factor}, field);
}

void reduce_downwards(Reduction& reduction, const Field& field) {
  const int rows = reduction.rref.rows();
  for (int column = 0; column < reduction.rref.columns(); ++column) {
    const int place = static_cast<int>(reduction.pivots.size());
    int found = place;
    while (found < rows && reduction.rref(found, column).is_zero()) ++found;
    if (found == rows) continue;
    if (found != place) perform(reduction, {Operation::Kind::swap, place, found, 0}, field);
    for (int row = place + 1; row < rows; ++row) clear_row(reduction, row, place, column, field);
    reduction.pivots.push_back(column);
  }
}

void reduce_upwards(Reduction& reduction, const Field& field) {
  for (int place = static_cast<int>(reduction.pivots.size()) - 1; place >= 0; --place) {
    const int column = reduction.pivots[static_cast<size_t>(place)];
    const Rational pivot = reduction.rref(place, column);
    if (pivot != Rational(1)) perform(reduction, {Operation::Kind::divide, place, 0, pivot}, field);
    for (int row = 0; row < place; ++row) clear_row(reduction, row, place, column, field);
  }
}

}  // namespace

void apply(const Operation& operation, Matrix& matrix, const Field& field) {
  for (int column = 0; column < matrix.columns(); ++column) {
    Rational& entry = matrix(operation.target, column);
    switch (operation.kind) {
      case Operation::Kind::subtract:
        entry = field.subtract(entry, field.multiply(operation.factor, matrix(operation.source, column)));
        break;
      case Operation::Kind::divide:
        entry = field.divide(entry, operation.factor);
        break;
      case Operation::Kind::swap:
        std::swap(entry, matrix(operation.source, column));
        break;
    }
  }
}

Reduction reduce(const Matrix& matrix, const Field& field) {
  Reduction reduction{{}, matrix, {}};
  reduce_downwards(reduction, field);
  reduce_upwards(reduction, field);
  return reduction;
}

std::vector<int> free_columns(const Reduction& reduction) {
  std::vector<int> result;
  for (int column = 0; column < reduction.rref.columns(); ++column) {
    if (!std::binary_search(reduction.pivots.begin(), reduction.pivots.end(), column))
      result.push_back(column);
  }
  return result;
}

std::vector<Vector> special_solutions(const Reduction& reduction) {
  std::vector<Vector> result;
  for (const int column : free_columns(reduction)) {
    Vector solution(static_cast<size_t>(reduction.rref.columns()));
    solution[static_cast<size_t>(column)] = 1;
    for (size_t row = 0; row < reduction.pivots.size(); ++row) {
      solution[static_cast<size_t>(reduction.pivots[row])] = -reduction.rref(static_cast<int>(row), column);
    }
    result.push_back(std::move(solution));
  }
  return result;
}

int rank(const Matrix& matrix) { return static_cast<int>(reduce(matrix).pivots.size()); }

}  // namespace giantrabbit::data
