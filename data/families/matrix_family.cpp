// In: an item, a prompt or random numbers. Out: a prompt or its matrix. Kept invariant: read() returns only
// matrices with at most R8 and nine columns.
#include "data/families/matrix_family.h"

#include <nlohmann/json.hpp>

#include "data/json_values.h"
#include "data/split.h"

namespace giantrabbit::data {

Problem MatrixFamily::from_json(const nlohmann::json& given) const {
  const Matrix matrix = json_matrix(given, "A");
  check_given(given);
  return checked(matrix_prompt(matrix));
}

std::string MatrixFamily::canonical(const Words& prompt) const { return canonical_matrix(read(prompt)); }

Words MatrixFamily::draw(CounterRng& rng) const {
  const Shape shape = draw_shape(rng, shapes_);
  return matrix_prompt(draw_ranked_matrix(rng, shape, draw_rank(rng, shape)));
}

void MatrixFamily::check_given(const nlohmann::json&) const {}

Matrix MatrixFamily::read(const Words& prompt) {
  return read_prompt_matrix(prompt, most_family_rows, most_family_columns);
}

}  // namespace giantrabbit::data
