// Vectors and subspaces as answers. In: words, rows, dimensions. Out: exact facts about spans, and the names
// of subspaces. Kept invariant: every true description of a space is accepted, no other.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "data/matrix.h"
#include "data/words.h"

namespace giantrabbit::data {

// Rows of `length` values, each ended by ";", none or more, nothing else.
std::optional<std::vector<Vector>> read_vectors(std::span<const std::string> words, size_t length);
void append_vectors(Words& words, std::span<const Vector> vectors);

std::vector<Vector> rows_of(const Matrix& matrix);
bool is_zero(const Vector& vector);
Rational dot(const Vector& a, const Vector& b);
Vector product(const Matrix& matrix, const Vector& vector);
Matrix with_column(const Matrix& matrix, const Vector& column);  // [A|b]
Matrix without_last_column(const Matrix& matrix);
int span_dimension(const std::vector<Vector>& vectors);
// The elimination with a right side: [A|b] -> A and b.

// Whether all vectors solve matrix * x = 0 and together span all solutions.
bool spans_null_space(const Matrix& matrix, const std::vector<Vector>& vectors);
// The same with as many vectors as the dimension; {0} may be given by its zero vector too.
bool is_null_basis(const Matrix& matrix, const std::vector<Vector>& vectors);
bool is_column_basis(const Matrix& matrix, const std::vector<Vector>& vectors);

// "PLANE 2 3 ;": kind, dimension, dimension of the space around it.
void append_space(Words& words, int dimension, int ambient);
// Whether such words are true; empty when they cannot be read. Every true kind is accepted: a plane of R^2 is
// WHOLE, PLANE and SPACE.
std::optional<bool> read_space(WordReader& reader, int dimension, int ambient);

}  // namespace giantrabbit::data
