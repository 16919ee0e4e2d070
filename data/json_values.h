// Rationals, vectors and matrices of outside items: whole numbers as JSON numbers, others as "p/q" strings.
// Every error is a ProblemError that names the field.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "data/matrix.h"

namespace giantrabbit::data {

// `given` must be an object that holds `field`.
const nlohmann::json& json_field(const nlohmann::json& given, const char* field);
int json_whole(const nlohmann::json& given, const char* field, int low, int high);
Vector json_vector(const nlohmann::json& given, const char* field);
std::vector<Vector> json_vectors(const nlohmann::json& given,
                                 const char* field);                 // a list of vectors, may be empty
Matrix json_matrix(const nlohmann::json& given, const char* field);  // at least one row and column

}  // namespace giantrabbit::data
