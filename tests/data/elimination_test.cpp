// Row reduction: the worked example's operations, the properties that define a reduced form, null spaces by
// substitution.
#include "data/elimination.h"

#include <gtest/gtest.h>

#include "data/counter_rng.h"

namespace giantrabbit::data {
namespace {

using Kind = Operation::Kind;

Matrix random_matrix(CounterRng& rng) {
  Matrix matrix(static_cast<int>(rng.uniform(1, 4)), static_cast<int>(rng.uniform(1, 5)));
  for (int i = 0; i < matrix.rows(); ++i) {
    for (int j = 0; j < matrix.columns(); ++j) matrix(i, j) = rng.chance(.4) ? 0 : rng.uniform(-4, 4);
  }
  return matrix;
}

TEST(Elimination, FollowsTheWorkedExample) {
  const Matrix matrix = Matrix::from_rows({{0, 1, 2, 2}, {0, 3, 8, 7}, {0, 0, 4, 2}});
  const Reduction reduction = reduce(matrix);
  const std::vector<Operation> expected = {{Kind::subtract, 1, 0, 3},
                                           {Kind::subtract, 2, 1, 2},
                                           {Kind::divide, 1, 0, 2},
                                           {Kind::subtract, 0, 1, 2}};
  EXPECT_EQ(reduction.operations, expected);
  EXPECT_EQ(reduction.rref, Matrix::from_rows({{0, 1, 0, 1}, {0, 0, 1, Rational(1, 2)}, {0, 0, 0, 0}}));
  EXPECT_EQ(reduction.pivots, (std::vector<int>{1, 2}));
  EXPECT_EQ(free_columns(reduction), (std::vector<int>{0, 3}));
  EXPECT_EQ(special_solutions(reduction), (std::vector<Vector>{{1, 0, 0, 0}, {0, -1, Rational(-1, 2), 1}}));
}

TEST(Elimination, SwapsOnlyWhenThePivotIsZeroAndTakesTheFirstRowBelow) {
  const Reduction reduction = reduce(Matrix::from_rows({{0, 1}, {0, 5}, {2, 4}, {3, 0}}));
  ASSERT_GE(reduction.operations.size(), 2U);
  EXPECT_EQ(reduction.operations[0], (Operation{Kind::swap, 0, 2, 0}));
  EXPECT_EQ(reduction.operations[1], (Operation{Kind::subtract, 3, 0, Rational(3, 2)}));
}

TEST(Elimination, DoesNothingToAReducedOrZeroMatrix) {
  EXPECT_TRUE(reduce(Matrix::from_rows({{1, 0, 2}, {0, 1, 3}})).operations.empty());
  EXPECT_TRUE(reduce(Matrix(3, 3)).operations.empty());
  EXPECT_EQ(rank(Matrix(3, 3)), 0);
}

// A form is reduced when pivots are 1, move right, are alone in their columns, and zero rows are last.
TEST(Elimination, ReachesAReducedFormOfTheSameRowSpace) {
  constexpr uint64_t seed = 12;
  SCOPED_TRACE(seed);
  CounterRng rng{seed};
  for (int round = 0; round < 2000; ++round) {
    const Matrix matrix = random_matrix(rng);
    const Reduction reduction = reduce(matrix);
    Matrix replayed = matrix;
    for (const Operation& operation : reduction.operations) apply(operation, replayed);
    ASSERT_EQ(replayed, reduction.rref);
    const Matrix& form = reduction.rref;
    for (int i = 0; i < form.rows(); ++i) {
      int first = 0;
      while (first < form.columns() && form(i, first).is_zero()) ++first;
      if (i >= static_cast<int>(reduction.pivots.size())) {
        ASSERT_EQ(first, form.columns());
        continue;
      }
      ASSERT_EQ(first, reduction.pivots[static_cast<size_t>(i)]);
      if (i > 0) {
        ASSERT_GT(first, reduction.pivots[static_cast<size_t>(i) - 1]);
      }
      for (int k = 0; k < form.rows(); ++k) ASSERT_EQ(form(k, first), Rational(k == i ? 1 : 0));
    }
    std::vector<Vector> both;
    for (int i = 0; i < matrix.rows(); ++i) {
      both.push_back(matrix.row(i));
      both.push_back(form.row(i));
    }
    ASSERT_EQ(rank(Matrix::from_rows(both)), reduction.pivots.size()) << "the rows span the same space";
    ASSERT_EQ(rank(matrix), rank(matrix.transposed()));
  }
}

TEST(Elimination, SpecialSolutionsHoldBySubstitution) {
  constexpr uint64_t seed = 13;
  SCOPED_TRACE(seed);
  CounterRng rng{seed};
  for (int round = 0; round < 2000; ++round) {
    const Matrix matrix = random_matrix(rng);
    for (const Vector& solution : special_solutions(reduce(matrix))) {
      ASSERT_EQ(matrix * Matrix::from_rows({solution}).transposed(), Matrix(matrix.rows(), 1));
    }
  }
}

}  // namespace
}  // namespace giantrabbit::data
