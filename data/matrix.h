// A small dense matrix of exact rationals, row major; rows and columns count from 0 in code and from 1 in
// text.
#pragma once

#include <string>
#include <vector>

#include "data/rational.h"

namespace giantrabbit::data {

using Vector = std::vector<Rational>;

class Matrix {
 public:
  Matrix() = default;
  Matrix(int rows, int columns)
      : rows_(rows), columns_(columns), entries_(static_cast<size_t>(rows) * columns) {}
  // Throws std::invalid_argument when the rows differ in length.
  static Matrix from_rows(const std::vector<Vector>& rows);

  int rows() const { return rows_; }
  int columns() const { return columns_; }
  Rational& operator()(int row, int column) { return entries_[static_cast<size_t>(row) * columns_ + column]; }
  const Rational& operator()(int row, int column) const {
    return entries_[static_cast<size_t>(row) * columns_ + column];
  }
  Vector row(int index) const;
  Vector column(int index) const;
  // [A | B]; both need the same number of rows.
  Matrix beside(const Matrix& right) const;
  Matrix transposed() const;
  friend bool operator==(const Matrix& a, const Matrix& b) = default;

 private:
  int rows_ = 0;
  int columns_ = 0;
  std::vector<Rational> entries_;
};

Matrix operator*(const Matrix& a, const Matrix& b);

}  // namespace giantrabbit::data
