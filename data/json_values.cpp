// In: the `given` object of an outside item. Out: exact values. Kept invariant: nothing that is not a whole
// number or a "p/q" string becomes a value; floating-point numbers are refused.
#include "data/json_values.h"

#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/problem.h"

namespace giantrabbit::data {
namespace {

Rational to_rational(const nlohmann::json& value, const char* field) {
  if (value.is_number_integer()) return Rational(value.get<int64_t>());
  if (value.is_string()) {
    try {
      return Rational::parse(value.get_ref<const std::string&>());
    } catch (const std::exception& error) {
      throw ProblemError(fmt::format("given.{}: {}", field, error.what()));
    }
  }
  throw ProblemError(
      fmt::format("given.{}: expected whole numbers or \"p/q\" strings, got {}", field, value.dump()));
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
  if (!value.is_number_integer() || value.get<int64_t>() < low || value.get<int64_t>() > high) {
    throw ProblemError(fmt::format("given.{}: expected a whole number from {} to {}, got {}", field, low,
                                   high, value.dump()));
  }
  return value.get<int>();
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
