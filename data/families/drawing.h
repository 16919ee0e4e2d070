// Random matrices for the exam families. In: a counter-based generator and a shape. Out: matrices of an exact
// rank with whole entries of at most 30. Kept invariant: the reduced form is drawn first and elimination
// undone from it, so reductions stay small.
#pragma once

#include <span>

#include "data/counter_rng.h"
#include "data/matrix.h"

namespace giantrabbit::data {

struct Shape {
  int rows = 0;
  int columns = 0;
};

Shape draw_shape(CounterRng& rng, std::span<const Shape> shapes);  // the first one half of the time
int draw_rank(CounterRng& rng, Shape shape);                       // full rank and one less most of the time
// A reduced form; its free entries are small, in some forms halves, thirds or quarters, in some up to 9. In
// some the first column is zero.
Matrix draw_reduced(CounterRng& rng, Shape shape, int rank);
Matrix draw_ranked_matrix(CounterRng& rng, Shape shape, int rank);

}  // namespace giantrabbit::data
