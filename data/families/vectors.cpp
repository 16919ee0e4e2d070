// In: vectors, matrices, words. Out: exact facts about spans, and subspaces by name. Kept invariant:
// arithmetic is rational throughout; an overflow is thrown, never rounded.
#include "data/families/vectors.h"

#include <algorithm>
#include <array>

#include "data/elimination.h"
#include "data/vocabulary.h"

namespace giantrabbit::data {
namespace {

constexpr std::string_view whole = "WHOLE";
constexpr std::string_view general = "SPACE";
constexpr std::array<std::string_view, 3> small_spaces = {"POINT", "LINE", "PLANE"};

bool is_zero_space_vector(const std::vector<Vector>& vectors) {
  return vectors.size() == 1 && is_zero(vectors[0]);
}

}  // namespace

std::optional<std::vector<Vector>> read_vectors(std::span<const std::string> words, size_t length) {
  WordReader reader(words);
  std::vector<Vector> vectors;
  while (!reader.done()) {
    auto vector = reader.values(length);
    if (!vector || !reader.take(";")) return std::nullopt;
    vectors.push_back(std::move(*vector));
  }
  return vectors;
}

void append_vectors(Words& words, std::span<const Vector> vectors) {
  for (const Vector& vector : vectors) {
    append_values(words, vector);
    words.emplace_back(";");
  }
}

std::vector<Vector> rows_of(const Matrix& matrix) {
  std::vector<Vector> rows;
  for (int i = 0; i < matrix.rows(); ++i) rows.push_back(matrix.row(i));
  return rows;
}

bool is_zero(const Vector& vector) {
  return std::all_of(vector.begin(), vector.end(), [](const Rational& entry) { return entry.is_zero(); });
}

Rational dot(const Vector& a, const Vector& b) {
  Rational sum;
  for (size_t i = 0; i < a.size(); ++i) sum = sum + a[i] * b[i];
  return sum;
}

Vector product(const Matrix& matrix, const Vector& vector) {
  Vector result;
  for (int i = 0; i < matrix.rows(); ++i) result.push_back(dot(matrix.row(i), vector));
  return result;
}

Matrix with_column(const Matrix& matrix, const Vector& column) {
  return matrix.beside(Matrix::from_rows({column}).transposed());
}

Matrix without_last_column(const Matrix& matrix) {
  Matrix result(matrix.rows(), matrix.columns() - 1);
  for (int i = 0; i < result.rows(); ++i) {
    for (int j = 0; j < result.columns(); ++j) result(i, j) = matrix(i, j);
  }
  return result;
}

int span_dimension(const std::vector<Vector>& vectors) {
  return vectors.empty() ? 0 : rank(Matrix::from_rows(vectors));
}

bool spans_null_space(const Matrix& matrix, const std::vector<Vector>& vectors) {
  return std::all_of(vectors.begin(), vectors.end(),
                     [&](const Vector& vector) { return is_zero(product(matrix, vector)); }) &&
         span_dimension(vectors) == matrix.columns() - rank(matrix);
}

bool is_null_basis(const Matrix& matrix, const std::vector<Vector>& vectors) {
  if (!spans_null_space(matrix, vectors)) return false;
  return span_dimension(vectors) == static_cast<int>(vectors.size()) || is_zero_space_vector(vectors);
}

bool is_column_basis(const Matrix& matrix, const std::vector<Vector>& vectors) {
  std::vector<Vector> both = rows_of(matrix.transposed());
  const int dimension = span_dimension(both);
  both.insert(both.end(), vectors.begin(), vectors.end());
  if (span_dimension(vectors) != dimension || span_dimension(both) != dimension) return false;
  return dimension == static_cast<int>(vectors.size()) || is_zero_space_vector(vectors);
}

void append_space(Words& words, int dimension, int ambient) {
  if (dimension == ambient) {
    words.emplace_back(whole);
  } else {
    words.emplace_back(dimension <= 2 ? small_spaces.at(static_cast<size_t>(dimension)) : general);
  }
  append_value(words, dimension);
  append_value(words, ambient);
  words.emplace_back(";");
}

std::optional<bool> read_space(WordReader& reader, int dimension, int ambient) {
  bool kind_is_true = false;
  if (reader.take(whole)) {
    kind_is_true = dimension == ambient;
  } else if (reader.take(general)) {
    kind_is_true = true;
  } else {
    const auto small = std::find_if(small_spaces.begin(), small_spaces.end(),
                                    [&](std::string_view name) { return reader.take(name); });
    if (small == small_spaces.end()) return std::nullopt;
    kind_is_true = small - small_spaces.begin() == dimension;
  }
  const auto sizes = reader.values(2);
  if (!sizes || !reader.take(";")) return std::nullopt;
  return kind_is_true && sizes->front() == Rational(dimension) && sizes->back() == Rational(ambient);
}

}  // namespace giantrabbit::data
