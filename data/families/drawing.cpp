// In: random numbers. Out: reduced forms and matrices that reduce to them. Kept invariant: only operations
// that keep the row space are applied to the reduced form, so rank and reduced form of the result are known.
#include "data/families/drawing.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

namespace giantrabbit::data {
namespace {

constexpr int64_t most_entry = 30;

int64_t draw_nonzero(CounterRng& rng, int64_t most) {
  const int64_t value = rng.uniform(1, most);
  return rng.chance(.5) ? value : -value;
}

std::vector<int> draw_pivots(CounterRng& rng, int columns, int rank) {
  const bool zero_first = rank < columns && rng.chance(.22);
  std::vector<int> pivots(static_cast<size_t>(columns - (zero_first ? 1 : 0)));
  std::iota(pivots.begin(), pivots.end(), zero_first ? 1 : 0);
  const bool leading = rng.chance(.5);
  while (static_cast<int>(pivots.size()) > rank) {
    const auto last = static_cast<int64_t>(pivots.size()) - 1;
    pivots.erase(pivots.begin() + (leading ? last : rng.uniform(0, last)));
  }
  return pivots;
}

void add_row(Matrix& matrix, int target, int source, int64_t factor) {
  for (int j = 0; j < matrix.columns(); ++j) {
    if (matrix(source, j).is_zero()) continue;
    matrix(target, j) = matrix(target, j) + Rational(factor) * matrix(source, j);
  }
}

// The least number that makes every entry of the row whole.
int64_t row_denominator(const Matrix& matrix, int row) {
  int64_t result = 1;
  for (int j = 0; j < matrix.columns(); ++j) result = std::lcm(result, matrix(row, j).denominator());
  return result;
}

int64_t draw_scale(CounterRng& rng) {
  constexpr std::array<int64_t, 10> scales = {1, 1, 1, 1, 1, 2, 2, 3, -1, -1};
  return scales.at(static_cast<size_t>(rng.uniform(0, scales.size() - 1)));
}

// Undoes "divide each pivot row, clear above", from the first pivot to the last.
void undo_upwards(CounterRng& rng, Matrix& matrix, int rank) {
  for (int place = 0; place < rank; ++place) {
    const int64_t whole = row_denominator(matrix, place);
    for (int row = 0; row < place; ++row) {
      if (rng.chance(.65)) add_row(matrix, row, place, whole * draw_nonzero(rng, 3));
    }
    const Rational scale = whole * draw_scale(rng);
    for (int j = 0; j < matrix.columns(); ++j) matrix(place, j) = matrix(place, j) * scale;
  }
}

void undo_downwards(CounterRng& rng, Matrix& matrix, int rank) {
  const bool large = rng.chance(.3);
  for (int place = rank - 1; place >= 0; --place) {
    for (int row = place + 1; row < matrix.rows(); ++row) {
      if (rng.chance(.8)) add_row(matrix, row, place, draw_nonzero(rng, large ? 7 : 3));
    }
  }
}

bool entries_fit(const Matrix& matrix) {
  for (int i = 0; i < matrix.rows(); ++i) {
    for (int j = 0; j < matrix.columns(); ++j) {
      if (matrix(i, j) > Rational(most_entry) || matrix(i, j) < Rational(-most_entry)) return false;
    }
  }
  return true;
}

}  // namespace

Shape draw_shape(CounterRng& rng, std::span<const Shape> shapes) {
  if (rng.chance(.5)) return shapes.front();
  return shapes[static_cast<size_t>(rng.uniform(0, static_cast<int64_t>(shapes.size()) - 1))];
}

int draw_rank(CounterRng& rng, Shape shape) {
  const int full = std::min(shape.rows, shape.columns);
  const double draw = rng.unit();
  if (draw < .45) return full;
  if (draw < .80) return std::max(1, full - 1);
  return static_cast<int>(rng.uniform(draw < .98 ? 1 : 0, full));
}

Matrix draw_reduced(CounterRng& rng, Shape shape, int rank) {
  Matrix reduced(shape.rows, shape.columns);
  const std::vector<int> pivots = draw_pivots(rng, shape.columns, rank);
  const double style = rng.unit();
  const int64_t denominator = style < .18 ? 2 : style < .26 ? 3 : style < .30 ? 4 : 1;
  const int64_t most = style > .85 ? 9 : 5;
  for (int row = 0; row < rank; ++row) {
    const int pivot = pivots[static_cast<size_t>(row)];
    const int64_t below = rng.chance(.6) ? denominator : 1;
    for (int j = pivot; j < shape.columns; ++j) {
      const bool other_pivot = std::binary_search(pivots.begin(), pivots.end(), j);
      if (j == pivot) reduced(row, j) = 1;
      if (!other_pivot && rng.chance(.85)) reduced(row, j) = Rational(rng.uniform(-most, most), below);
    }
  }
  return reduced;
}

Matrix draw_ranked_matrix(CounterRng& rng, Shape shape, int rank) {
  for (;;) {
    Matrix matrix = draw_reduced(rng, shape, rank);
    undo_upwards(rng, matrix, rank);
    undo_downwards(rng, matrix, rank);
    if (shape.rows > 1 && rng.chance(.2)) {  // gives swaps and fractional multipliers
      const int target = static_cast<int>(rng.uniform(0, shape.rows - 2));
      add_row(matrix, target, target + 1, rng.chance(.5) ? 1 : -1);
    }
    if (shape.rows > 1 && rng.chance(.12)) {
      const int moved = static_cast<int>(rng.uniform(1, shape.rows - 1));
      for (int j = 0; j < shape.columns; ++j) std::swap(matrix(0, j), matrix(moved, j));
    }
    if (entries_fit(matrix)) return matrix;
  }
}

}  // namespace giantrabbit::data
