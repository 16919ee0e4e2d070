// A second opinion on the exam families, in plain double arithmetic and with none of the data room's algebra.
// In: prompts and outputs as words. Out: whether an answer is right, whether the row operations of a prod
// chain are. Values are at most 60 with denominators up to 9, so a nonzero minor of the small matrices here
// is far above the tolerance 1e-6.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "data/problem.h"

namespace giantrabbit::data {

inline constexpr std::array chain_formats = {ChainFormat::prod, ChainFormat::delta, ChainFormat::answer_only};

}  // namespace giantrabbit::data

namespace giantrabbit::data::oracle {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

inline bool near(double a, double b) { return std::abs(a - b) < 1e-6; }

inline bool is_number(const std::string& word) {
  return word.find_first_of("0123456789") != std::string::npos && word[0] != 'R' && word[0] != '/';
}

// Numbers only, rows ended by ";"; other words are skipped.
inline Rows numbers(std::span<const std::string> words) {
  Rows rows(1);
  for (const std::string& word : words) {
    if (word == ";") rows.emplace_back();
    if (is_number(word)) rows.back().push_back(std::stod(word));
    if (word[0] == '/' && !rows.back().empty()) rows.back().back() /= std::stod(word.substr(1));
  }
  if (rows.back().empty()) rows.pop_back();
  return rows;
}

inline double dot(const Row& a, const Row& b) {
  double sum = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) sum += a[i] * b[i];
  return sum;
}

inline Rows transposed(const Rows& rows) {
  Rows result(rows.empty() ? 0 : rows[0].size());
  for (const Row& row : rows) {
    for (size_t j = 0; j < row.size(); ++j) result[j].push_back(row[j]);
  }
  return result;
}

inline bool is_matrix(const Rows& rows) {
  return std::all_of(rows.begin(), rows.end(), [&](const Row& row) { return row.size() == rows[0].size(); });
}

// Of a matrix.
inline int rank(Rows rows) {
  size_t done = 0;
  for (size_t column = 0; !rows.empty() && column < rows[0].size() && done < rows.size(); ++column) {
    size_t best = done;
    for (size_t i = done; i < rows.size(); ++i) {
      if (std::abs(rows[i][column]) > std::abs(rows[best][column])) best = i;
    }
    if (near(rows[best][column], 0)) continue;
    std::swap(rows[done], rows[best]);
    for (size_t i = done + 1; i < rows.size(); ++i) {
      const double factor = rows[i][column] / rows[done][column];
      for (size_t j = column; j < rows[i].size(); ++j) rows[i][j] -= factor * rows[done][j];
    }
    ++done;
  }
  return static_cast<int>(done);
}

inline Rows joined(Rows a, const Rows& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline bool kills(const Rows& matrix, const Row& vector) {
  return std::all_of(matrix.begin(), matrix.end(), [&](const Row& row) { return near(dot(row, vector), 0); });
}

inline bool same(const Rows& a, const Rows& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Row& x, const Row& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), near);
  });
}

inline bool is_reduced_form(const Rows& rows) {
  int last = -1;
  bool ended = false;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto first = std::find_if(rows[i].begin(), rows[i].end(), [](double x) { return !near(x, 0); });
    if (first == rows[i].end()) {
      ended = true;
      continue;
    }
    const auto column = static_cast<int>(first - rows[i].begin());
    if (ended || column <= last || !near(*first, 1)) return false;
    for (size_t k = 0; k < rows.size(); ++k) {
      if (k != i && !near(rows[k][static_cast<size_t>(column)], 0)) return false;
    }
    last = column;
  }
  return true;
}

inline bool space_is(const std::string& kind, const Row& sizes, int dimension, int ambient) {
  if (sizes.size() != 2 || !near(sizes[0], dimension) || !near(sizes[1], ambient)) return false;
  if (kind == "WHOLE") return dimension == ambient;
  const Words names = {"POINT", "LINE", "PLANE"};
  const auto name = std::find(names.begin(), names.end(), kind);
  return kind == "SPACE" || (name != names.end() && name - names.begin() == dimension);
}

// [A|b] without and with its last column.
inline Rows left_part(Rows rows) {
  for (Row& row : rows) row.pop_back();
  return rows;
}

inline bool null_answer(const Rows& a, const Rows& vectors, bool zero_alone) {
  const auto dimension = static_cast<int>(a[0].size()) - rank(a);
  const bool all = std::all_of(vectors.begin(), vectors.end(),
                               [&](const Row& v) { return v.size() == a[0].size() && kills(a, v); });
  if (!all || rank(vectors) != dimension) return false;
  return static_cast<int>(vectors.size()) == dimension ||
         (zero_alone && dimension == 0 && vectors.size() == 1);
}

inline Rows identity(size_t size) {
  Rows rows(size, Row(size, 0.));
  for (size_t i = 0; i < size; ++i) rows[i][i] = 1;
  return rows;
}

inline size_t row_index(const std::string& word) { return std::stoul(word.substr(1)) - 1; }

// Whether every row operation of a prod chain holds on the rows written so far; other lines are passed over.
inline bool operations_hold(const Words& prompt, std::span<const std::string> output) {
  const std::string& family = prompt[0];
  const auto operations = std::find(prompt.begin(), prompt.end(), "SUB");
  const Rows given = numbers({prompt.begin() + 1, operations});
  Rows state = family == "UNDO" ? identity(given.size()) : given;
  const auto end = std::find(output.begin(), output.end(), "ANS");
  for (auto begin = output.begin(); begin != end;) {
    const auto stop = std::find(begin, end, "NL");
    if (stop == end) return false;
    const std::span<const std::string> line(begin, stop);
    begin = stop + 1;
    if (line.empty()) return false;
    if (line[0] == "UNDO") state = given;
    if (line[0] == "ROW" && family == "MEMBER") state = transposed(numbers(line.subspan(3)));
    if (line[0] == "SW") std::swap(state[row_index(line[1])], state[row_index(line[2])]);
    if (line[0] != "SUB" && line[0] != "DIV") continue;
    const bool subtract = line[0] == "SUB";
    const auto colon = static_cast<size_t>(std::find(line.begin(), line.end(), ":") - line.begin());
    const size_t names = subtract ? 3 : 2;
    const double factor = numbers(line.subspan(names, colon - names)).at(0).at(0);
    const Row written = numbers(line.subspan(colon)).at(0);
    Row& target = state.at(row_index(line[1]));
    const Row source = subtract ? state.at(row_index(line[2])) : target;
    for (size_t j = 0; j < target.size(); ++j) {
      if (subtract && !near(written.at(2 * j), factor * source[j])) return false;
      const double entry = subtract ? target[j] - factor * source[j] : target[j] / factor;
      if (!near(written.at(subtract ? 2 * j + 1 : j), entry)) return false;
      target[j] = entry;
    }
  }
  return true;
}

bool answer_right(const Words& prompt, std::span<const std::string> answer);

}  // namespace giantrabbit::data::oracle
