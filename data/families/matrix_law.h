// The law of the random matrices. In: a random generator and shapes with weights. Out: a matrix of whole
// numbers whose row reduction, written in any format, stays inside the vocabulary and is not empty.
#pragma once

#include <span>

#include "data/counter_rng.h"
#include "data/matrix.h"

namespace giantrabbit::data {

struct WeightedShape {
  int rows = 0;  // 2, 3 or 4
  int columns = 0;
  double weight = 0;
};

Matrix draw_matrix(CounterRng& rng, std::span<const WeightedShape> shapes);

}  // namespace giantrabbit::data
