// The matrix: rows and columns, blocks, transposes, products, and shapes that do not fit.
#include "data/matrix.h"

#include <stdexcept>

#include <gtest/gtest.h>

namespace giantrabbit::data {
namespace {

TEST(Matrix, GivesBackRowsAndColumns) {
  const Matrix matrix = Matrix::from_rows({{1, 2, 3}, {4, 5, Rational(1, 2)}});
  EXPECT_EQ(matrix.row(1), (Vector{4, 5, Rational(1, 2)}));
  EXPECT_EQ(matrix.column(2), (Vector{3, Rational(1, 2)}));
  EXPECT_EQ(matrix.transposed().row(0), (Vector{1, 4}));
  EXPECT_EQ(matrix.transposed().transposed(), matrix);
}

TEST(Matrix, SetsBlocksSideBySide) {
  const Matrix left = Matrix::from_rows({{1}, {2}});
  EXPECT_EQ(left.beside(Matrix::from_rows({{3, 4}, {5, 6}})), Matrix::from_rows({{1, 3, 4}, {2, 5, 6}}));
  EXPECT_THROW((void)left.beside(Matrix(3, 1)), std::invalid_argument);
}

TEST(Matrix, MultipliesAsTheExamSays) {
  // E (A | b) = (R | d) of question 1b.
  const Matrix eliminate = Matrix::from_rows({{1, 0, 0}, {-3, 1, 0}, {-5, 0, 1}});
  const Matrix before = Matrix::from_rows({{1, -2, -5, 4}, {3, -6, -15, 12}, {5, -10, -25, 20}});
  const Matrix after = Matrix::from_rows({{1, -2, -5, 4}, {0, 0, 0, 0}, {0, 0, 0, 0}});
  EXPECT_EQ(eliminate * before, after);
  EXPECT_THROW((void)(before * eliminate), std::invalid_argument);
}

TEST(Matrix, RowsOfDifferentLengthsAreRefusedByNumber) {
  try {
    (void)Matrix::from_rows({{1, 2}, {3}});
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "matrix: row 2 has 1 entries, row 1 has 2");
  }
  EXPECT_EQ(Matrix::from_rows({}).rows(), 0);
}

TEST(Matrix, DiffersByShapeToo) { EXPECT_NE(Matrix(2, 3), Matrix(3, 2)); }

}  // namespace
}  // namespace giantrabbit::data
