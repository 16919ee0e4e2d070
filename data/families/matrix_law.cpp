// In: shapes with weights. Out: matrices, built backwards from their reduced form. Kept invariant: whole
// entries, and every value that a chain writes is a word of the vocabulary.
//
// Note: the law. A shape, a rank, zero columns in front, whether the reduced form has fractions (halves,
// thirds, quarters in one or two rows) and whether the prompt has entries of 10 to 20 or of 21 to 30 are
// drawn first and then kept; only the numbers are redrawn until the matrix fits, so rejection hardly shifts
// these shares. The matrix is built backwards: reduced form, rows made whole and scaled, upper rows mixed
// with lower ones, lower with upper ones, and sometimes a few free row operations and a swap (they give
// fractional multipliers and zero pivots).
#include "data/families/matrix_law.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "data/chain.h"
#include "data/elimination.h"

namespace giantrabbit::data {
namespace {

// The largest absolute entry of the prompt lies between two neighbours.
constexpr std::array<int64_t, 4> entry_bounds = {0, 9, 20, 30};

struct WeightedWhole {
  int64_t value = 0;
  double weight = 0;
};

template <typename Option>
const Option& choose(CounterRng& rng, std::span<const Option> options) {
  double total = 0;
  for (const Option& option : options) total += option.weight;
  double draw = rng.unit() * total;
  for (const Option& option : options) {
    draw -= option.weight;
    if (draw < 0) return option;
  }
  return options.back();
}

int64_t choose_whole(CounterRng& rng, std::span<const WeightedWhole> options) {
  return choose(rng, options).value;
}

// Weights of rank 1, 2, 3, .. by the number of rows.
constexpr std::array<WeightedWhole, 2> ranks_of_2 = {{{1, .25}, {2, .75}}};
constexpr std::array<WeightedWhole, 3> ranks_of_3 = {{{1, .12}, {2, .45}, {3, .43}}};
constexpr std::array<WeightedWhole, 4> ranks_of_4 = {{{1, .08}, {2, .32}, {3, .40}, {4, .20}}};
constexpr std::array<WeightedWhole, 3> denominators = {{{2, .55}, {3, .25}, {4, .20}}};
constexpr std::array<WeightedWhole, 5> scales = {{{1, .46}, {2, .25}, {3, .14}, {-1, .10}, {4, .05}}};

constexpr std::array<WeightedWhole, 3> magnitudes = {{{0, .58}, {1, .21}, {2, .21}}};

constexpr double zero_front_chance = .28;
constexpr double fraction_chance = .36;
constexpr int tries_per_plan = 64;

// What is drawn once per problem.
struct Plan {
  int rows = 0;
  int columns = 0;
  std::vector<int> pivots;
  bool fraction = false;
  int64_t magnitude = 0;  // 0, 1, 2: which interval of entry_bounds
};

std::vector<int> draw_pivots(CounterRng& rng, int front, int rank, int columns) {
  std::vector<int> rest(static_cast<size_t>(columns - front - 1));
  std::iota(rest.begin(), rest.end(), front + 1);
  const bool consecutive = rng.chance(.6);
  std::vector<int> pivots = {front};
  for (int left = rank - 1; left > 0; --left) {
    const auto place = consecutive ? 0 : rng.uniform(0, static_cast<int64_t>(rest.size()) - 1);
    pivots.push_back(rest[static_cast<size_t>(place)]);
    rest.erase(rest.begin() + place);
  }
  std::sort(pivots.begin(), pivots.end());
  return pivots;
}

Plan draw_plan(CounterRng& rng, std::span<const WeightedShape> shapes) {
  const auto [rows, columns, weight] = choose(rng, shapes);
  const std::span<const WeightedWhole> ranks = rows == 2   ? std::span<const WeightedWhole>(ranks_of_2)
                                               : rows == 3 ? std::span<const WeightedWhole>(ranks_of_3)
                                                           : std::span<const WeightedWhole>(ranks_of_4);
  Plan plan{rows, columns, {}, false, 0};
  const bool zero_front = rng.chance(zero_front_chance);
  int rank = static_cast<int>(choose_whole(rng, ranks));
  // All matrices of full column rank have the same answer, and so have those with one zero column less: keep
  // few.
  if (rank == columns && rng.chance(.6)) --rank;
  if (zero_front && rank > 1 && rank >= columns - 1 && rng.chance(.6)) rank = columns - 2;
  const int room = columns - rank;
  int front = zero_front && room > 0 ? 1 : 0;
  if (front == 1 && room > 1 && rng.chance(.12)) front = 2;
  plan.pivots = draw_pivots(rng, front, rank, columns);
  plan.fraction = rng.chance(fraction_chance) && plan.pivots.back() - front + 1 < columns - front;
  plan.magnitude = choose_whole(rng, magnitudes);
  return plan;
}

int64_t draw_entry(CounterRng& rng) {
  if (rng.chance(.2)) return 0;
  return rng.chance(.1) ? rng.uniform(-9, 9) : rng.uniform(-5, 5);
}

// The reduced form with every row multiplied by its denominator, so that all entries are whole.
std::vector<std::vector<int64_t>> draw_whole_rref(CounterRng& rng, const Plan& plan) {
  const auto rank = static_cast<int64_t>(plan.pivots.size());
  std::vector<int64_t> row_denominators(plan.pivots.size(), 1);
  if (plan.fraction) {
    const int64_t denominator = choose_whole(rng, denominators);
    row_denominators[static_cast<size_t>(rng.uniform(0, rank - 1))] = denominator;
    if (rng.chance(.3)) row_denominators[static_cast<size_t>(rng.uniform(0, rank - 1))] = denominator;
  }
  std::vector<std::vector<int64_t>> rows;
  for (size_t i = 0; i < plan.pivots.size(); ++i) {
    std::vector<int64_t> row(static_cast<size_t>(plan.columns));
    for (int j = plan.pivots[i]; j < plan.columns; ++j) {
      const bool is_pivot = std::binary_search(plan.pivots.begin(), plan.pivots.end(), j);
      row[static_cast<size_t>(j)] =
          is_pivot ? (j == plan.pivots[i] ? row_denominators[i] : 0) : draw_entry(rng);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

void add_multiple(std::vector<int64_t>& target, int64_t factor, const std::vector<int64_t>& source) {
  for (size_t j = 0; j < target.size(); ++j) target[j] += factor * source[j];
}

int64_t draw_multiplier(CounterRng& rng, int64_t magnitude) {
  if (rng.chance(.1)) return 0;
  if (magnitude > 0) return rng.uniform(-4 - 2 * magnitude, 4 + 2 * magnitude);
  return rng.chance(.1) ? rng.uniform(-5, 5) : rng.uniform(-3, 3);
}

std::vector<std::vector<int64_t>> draw_rows(CounterRng& rng, const Plan& plan) {
  auto rows = draw_whole_rref(rng, plan);
  for (auto& row : rows) {
    const int64_t scale = choose_whole(rng, scales);
    for (int64_t& entry : row) entry *= scale;
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = i + 1; j < rows.size(); ++j) {
      if (rng.chance(.85)) add_multiple(rows[i], rng.uniform(-3, 3), rows[j]);
    }
  }
  rows.resize(static_cast<size_t>(plan.rows), std::vector<int64_t>(static_cast<size_t>(plan.columns)));
  for (size_t i = rows.size(); i-- > 1;) {
    for (size_t j = 0; j < std::min(i, plan.pivots.size()); ++j) {
      add_multiple(rows[i], draw_multiplier(rng, plan.magnitude), rows[j]);
    }
  }
  const int64_t last = plan.rows - 1;
  for (int64_t left = rng.chance(.35) ? rng.uniform(1, 2) : 0; left > 0; --left) {
    const auto target = static_cast<size_t>(rng.uniform(0, last));
    const auto source = static_cast<size_t>(rng.uniform(0, last));
    if (target != source) add_multiple(rows[target], rng.chance(.5) ? 1 : -1, rows[source]);
  }
  if (rng.chance(.2)) {
    std::swap(rows[static_cast<size_t>(rng.uniform(0, last))],
              rows[static_cast<size_t>(rng.uniform(0, last))]);
  }
  return rows;
}

bool has_fraction(const Matrix& matrix) {
  for (int i = 0; i < matrix.rows(); ++i) {
    for (int j = 0; j < matrix.columns(); ++j) {
      if (!matrix(i, j).is_integer()) return true;
    }
  }
  return false;
}

// Empty when the numbers do not fit the plan or the vocabulary.
std::optional<Matrix> try_plan(CounterRng& rng, const Plan& plan) {
  const auto rows = draw_rows(rng, plan);
  int64_t largest = 0;
  for (const auto& row : rows) {
    for (const int64_t entry : row) largest = std::max(largest, std::abs(entry));
  }
  if (largest <= entry_bounds[static_cast<size_t>(plan.magnitude)] ||
      largest > entry_bounds[static_cast<size_t>(plan.magnitude) + 1])
    return std::nullopt;
  Matrix matrix(plan.rows, plan.columns);
  for (int i = 0; i < plan.rows; ++i) {
    for (int j = 0; j < plan.columns; ++j)
      matrix(i, j) = rows[static_cast<size_t>(i)][static_cast<size_t>(j)];
  }
  const Reduction reduction = reduce(matrix);
  if (reduction.operations.empty() || has_fraction(reduction.rref) != plan.fraction) return std::nullopt;
  if (survey_chain(matrix, reduction.operations).outside) return std::nullopt;
  return matrix;
}

}  // namespace

Matrix draw_matrix(CounterRng& rng, std::span<const WeightedShape> shapes) {
  for (;;) {
    const Plan plan = draw_plan(rng, shapes);
    for (int left = tries_per_plan; left > 0; --left) {
      if (const auto matrix = try_plan(rng, plan)) return *matrix;
    }
  }
}

}  // namespace giantrabbit::data
