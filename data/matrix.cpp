// In: rows of rationals. Out: a dense matrix and its rows, columns, transpose, product. Kept invariant: every
// row has the same length; shapes that do not fit throw std::invalid_argument with both shapes.
#include "data/matrix.h"

#include <stdexcept>

#include <fmt/format.h>

namespace giantrabbit::data {

Matrix Matrix::from_rows(const std::vector<Vector>& rows) {
  if (rows.empty()) return {};
  Matrix result(static_cast<int>(rows.size()), static_cast<int>(rows[0].size()));
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].size() != rows[0].size()) {
      throw std::invalid_argument(
          fmt::format("matrix: row {} has {} entries, row 1 has {}", i + 1, rows[i].size(), rows[0].size()));
    }
    for (size_t j = 0; j < rows[i].size(); ++j) result(static_cast<int>(i), static_cast<int>(j)) = rows[i][j];
  }
  return result;
}

Vector Matrix::row(int index) const {
  const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(index) * columns_;
  return {begin, begin + columns_};
}

Vector Matrix::column(int index) const {
  Vector result;
  result.reserve(static_cast<size_t>(rows_));
  for (int i = 0; i < rows_; ++i) result.push_back((*this)(i, index));
  return result;
}

Matrix Matrix::beside(const Matrix& right) const {
  if (rows_ != right.rows_) {
    throw std::invalid_argument(fmt::format("matrix: {}x{} beside {}x{} needs equal numbers of rows", rows_,
                                            columns_, right.rows_, right.columns_));
  }
  Matrix result(rows_, columns_ + right.columns_);
  for (int i = 0; i < rows_; ++i) {
    for (int j = 0; j < columns_; ++j) result(i, j) = (*this)(i, j);
    for (int j = 0; j < right.columns_; ++j) result(i, columns_ + j) = right(i, j);
  }
  return result;
}

Matrix Matrix::transposed() const {
  Matrix result(columns_, rows_);
  for (int i = 0; i < rows_; ++i) {
    for (int j = 0; j < columns_; ++j) result(j, i) = (*this)(i, j);
  }
  return result;
}

Matrix operator*(const Matrix& a, const Matrix& b) {
  if (a.columns() != b.rows()) {
    throw std::invalid_argument(fmt::format("matrix: {}x{} times {}x{} needs equal inner sizes", a.rows(),
                                            a.columns(), b.rows(), b.columns()));
  }
  Matrix result(a.rows(), b.columns());
  for (int i = 0; i < a.rows(); ++i) {
    for (int j = 0; j < b.columns(); ++j) {
      for (int k = 0; k < a.columns(); ++k) result(i, j) = result(i, j) + a(i, k) * b(k, j);
    }
  }
  return result;
}

}  // namespace giantrabbit::data
