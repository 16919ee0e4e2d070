// Random and adversarial rows of numbers for the search for violated bounds. In, a seed; out, matrices with
// the padding that the functions of ops/cpu/exact/functions.h read. Invariant: the same numbers for a seed.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "ops/cpu/exact/functions.h"

namespace giantrabbit::ops::test {

class Random {
 public:
  explicit Random(uint64_t seed) : bits_(seed) {}
  int64_t below(int64_t count) { return static_cast<int64_t>(bits_() % static_cast<uint64_t>(count)); }
  bool once_in(int64_t count) { return below(count) == 0; }
  double uniform(double low, double high) {
    return low + (high - low) * 0x1p-64 * static_cast<double>(bits_());
  }
  double normal() { return normal_(bits_); }
  uint64_t word() { return bits_(); }

 private:
  std::mt19937_64 bits_;
  std::normal_distribution<double> normal_;
};

inline int64_t padded(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// Rows of numbers of one kind, with widths padded with zeros to what the functions read.
struct Matrix {
  int64_t rows;
  int64_t width;
  std::vector<float> data;

  Matrix(int64_t row_count, int64_t columns)
      : rows(row_count), width(padded(columns, 16)), data(static_cast<size_t>(row_count * width)) {}
  float* row(int64_t i) { return data.data() + i * width; }
  const float* row(int64_t i) const { return data.data() + i * width; }
  cpu::exact::Rows view() const { return {data.data(), width}; }
};

enum class Kind { normal, sign, uniform, sparse, heavy, constant, levels, count };

inline double number_of(Kind kind, Random& random) {
  switch (kind) {
    case Kind::sign:
      return random.once_in(2) ? 1.0 : -1.0;
    case Kind::uniform:
      return random.uniform(-1.0, 1.0);
    case Kind::sparse:
      return random.once_in(8) ? random.normal() : 0.0;
    case Kind::heavy:
      return random.normal() * std::exp(3.0 * random.normal());
    case Kind::constant:
      return 1.0;
    case Kind::levels:
      return std::round(random.normal() * 2.0) / 4.0;
    default:
      return random.normal();
  }
}

inline Matrix random_matrix(int64_t rows, int64_t columns, Random& random) {
  Matrix matrix(rows, columns);
  const auto kind = static_cast<Kind>(random.below(static_cast<int64_t>(Kind::count)));
  const double size =
      std::pow(10.0, random.once_in(4) ? random.uniform(-25.0, 15.0) : random.uniform(-1.5, 1.5));
  const bool uneven_rows = random.once_in(4);
  const bool uneven_columns = random.once_in(6);
  std::vector<double> column_sizes(static_cast<size_t>(columns), 1.0);
  for (double& of : column_sizes) of = uneven_columns ? std::pow(10.0, random.uniform(-4.0, 2.0)) : 1.0;
  for (int64_t i = 0; i < rows; ++i) {
    const double row_size = size * (uneven_rows ? std::pow(10.0, random.uniform(-6.0, 1.0)) : 1.0);
    for (int64_t k = 0; k < columns; ++k) {
      matrix.row(i)[k] =
          static_cast<float>(number_of(kind, random) * row_size * column_sizes[static_cast<size_t>(k)]);
    }
  }
  return matrix;
}

// Every coordinate a little less than half a step away from its code, all in the direction in which the
// product with `toward` grows: the triangle and Cauchy-Schwarz inequalities in the bound become equalities
// (up to the coordinate that sets the step).
inline void align_rounding(float* row, int64_t columns, const float* toward, double step, Random& random) {
  const double code = std::floor(random.uniform(-126.0, 126.0));
  const bool one_code = random.once_in(2);
  const double reach = random.once_in(2) ? 0.4999 : random.uniform(0.3, 0.4999);
  for (int64_t k = 0; k < columns; ++k) {
    const double at = one_code ? code : std::floor(random.uniform(-126.0, 126.0));
    row[k] = static_cast<float>((at + (toward[k] < 0.0F ? -reach : reach)) * step);
  }
}

inline void align_matrices(Matrix& queries, Matrix& keys, int64_t columns, Random& random) {
  const double query_step = std::pow(10.0, random.uniform(-3.0, 0.0));
  const double key_step = std::pow(10.0, random.uniform(-3.0, 0.0));
  const std::vector<float> ones(static_cast<size_t>(columns), 1.0F);
  for (int64_t i = 0; i < queries.rows; ++i) {
    align_rounding(queries.row(i), columns, ones.data(), query_step, random);
    queries.row(i)[random.below(columns)] = static_cast<float>(127.0 * query_step);
  }
  for (int64_t j = 0; j < keys.rows; ++j) {
    align_rounding(keys.row(j), columns, queries.row(random.below(queries.rows)), key_step, random);
    if (random.once_in(20)) keys.row(j)[random.below(columns)] = static_cast<float>(127.0 * key_step);
  }
}

}  // namespace giantrabbit::ops::test
