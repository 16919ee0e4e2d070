// In: the `given` object of an outside item. Out: exact values. Kept invariant: nothing that is not a whole
// number or a "p/q" string becomes a value; floating-point numbers are refused.
#include "data/json_values.h"

#include <cstdint>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/problem.h"

namespace giantrabbit::data {
namespace {

// Whole numbers from 2^63 on are read as unsigned ones; as int64_t they would be others.
std::optional<int64_t> whole_number(const nlohmann::json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) return std::nullopt;
  return value.get<int64_t>();
}

Rational to_rational(const nlohmann::json& value, const char* field) {
  if (const auto whole = whole_number(value)) return Rational(*whole);
  if (value.is_string()) {
    try {
      return Rational::parse(value.get_ref<const std::string&>());
    } catch (const std::exception& error) {
      throw ProblemError(fmt::format("given.{}: {}", field, error.what()));
    }
  }
  throw ProblemError(fmt::format("given.{}: expected whole numbers below 2^63 or \"p/q\" strings, got {}",
                                 field, value.dump()));
}

Vector to_vector(const nlohmann::json& list, const char* field) {
  if (!list.is_array()) {
    throw ProblemError(fmt::format("given.{}: expected a list of values, got {}", field, list.type_name()));
  }
  Vector result;
  for (const auto& value : list) result.push_back(to_rational(value, field));
  return result;
}

}  // namespace

const nlohmann::json& json_field(const nlohmann::json& given, const char* field) {
  if (!given.is_object())
    throw ProblemError(fmt::format("given: expected an object, got {}", given.type_name()));
  const auto found = given.find(field);
  if (found == given.end()) throw ProblemError(fmt::format("given.{} is missing", field));
  return *found;
}

int json_whole(const nlohmann::json& given, const char* field, int low, int high) {
  const auto& value = json_field(given, field);
  const auto whole = whole_number(value);
  if (!whole || *whole < low || *whole > high) {
    throw ProblemError(fmt::format("given.{}: expected a whole number from {} to {}, got {}", field, low,
                                   high, value.dump()));
  }
  return static_cast<int>(*whole);
}

Vector json_vector(const nlohmann::json& given, const char* field) {
  return to_vector(json_field(given, field), field);
}

std::vector<Vector> json_vectors(const nlohmann::json& given, const char* field) {
  const auto& lists = json_field(given, field);
  if (!lists.is_array()) {
    throw ProblemError(fmt::format("given.{}: expected a list of lists, got {}", field, lists.type_name()));
  }
  std::vector<Vector> result;
  for (const auto& list : lists) result.push_back(to_vector(list, field));
  return result;
}

Matrix json_matrix(const nlohmann::json& given, const char* field) {
  const std::vector<Vector> rows = json_vectors(given, field);
  if (rows.empty() || rows[0].empty())
    throw ProblemError(fmt::format("given.{}: the matrix is empty", field));
  try {
    return Matrix::from_rows(rows);
  } catch (const std::invalid_argument& error) {
    throw ProblemError(fmt::format("given.{}: {}", field, error.what()));
  }
}

}  // namespace giantrabbit::data
