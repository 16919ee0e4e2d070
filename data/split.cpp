// In: the canonical text of a problem. Out: its split. Kept invariant: the rule of the header; the exam's
// problems are recognised by their canonical texts, whatever family asks about them.
#include "data/split.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "data/counter_rng.h"

namespace giantrabbit::data {
namespace {

constexpr uint64_t buckets = 20;
constexpr uint64_t test_bucket = 0;
constexpr uint64_t validation_bucket = 1;

// Questions 1, 2, 3 to 5, 6 and 7, 8, 9.
constexpr std::array<std::string_view, 6> exam_texts = {
    "3x4|0,0,0,0;0,0,0,0;1,-2,-5,4",
    "3x4|1,-2,-5,4;3,-6,-15,12;5,-10,-25,20",
    "3x4|0,0,4,2;0,1,2,2;0,3,8,7",
    "FACT|3,5,3",
    "3x2|2,1;2,4;6,5",
    "3x3|2,1,8;2,4,14;6,5,28",
};

}  // namespace

uint64_t fnv1a64(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char letter : text) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
  return hash;
}

std::string canonical_matrix(const Matrix& matrix) {
  std::vector<Vector> rows;
  for (int i = 0; i < matrix.rows(); ++i) {
    Vector row = matrix.row(i);
    const auto first =
        std::find_if(row.begin(), row.end(), [](const Rational& entry) { return !entry.is_zero(); });
    if (first != row.end() && *first < Rational(0)) {
      std::transform(row.begin(), row.end(), row.begin(), [](const Rational& entry) { return -entry; });
    }
    rows.push_back(std::move(row));
  }
  std::sort(rows.begin(), rows.end());
  std::string text = std::to_string(matrix.rows()) + "x" + std::to_string(matrix.columns()) + "|";
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i > 0) text += ";";
    for (size_t j = 0; j < rows[i].size(); ++j) {
      if (j > 0) text += ",";
      text += rows[i][j].text();
    }
  }
  return text;
}

bool is_exam_item(std::string_view canonical_text) {
  return std::find(exam_texts.begin(), exam_texts.end(), canonical_text) != exam_texts.end();
}

std::string with_digest(const std::string& text) {
  return fmt::format("{}|{:016x}", text, CounterRng{fnv1a64(text)}.next());
}

Split split_of(std::string_view canonical_text) {
  const uint64_t bucket = fnv1a64(canonical_text) % buckets;
  if (bucket == test_bucket) return Split::test;
  if (bucket == validation_bucket) return Split::validation;
  return Split::train;
}

}  // namespace giantrabbit::data
