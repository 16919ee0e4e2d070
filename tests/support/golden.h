// Golden values: the JSON files of tests/fixtures. Minus infinity is the string "-inf", a rational the string
// "p/q", true is 1. A missing file or a malformed number throws with the file or the text named.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <ATen/core/Tensor.h>

namespace giantrabbit::test_support {

nlohmann::json load_golden(const std::string& file);  // "sparsemax_golden.json"
double golden_number(const nlohmann::json& number);
// Nested lists of numbers of any depth, all lists of one level equally long.
at::Tensor golden_tensor(const nlohmann::json& lists, at::ScalarType dtype = at::kDouble);

}  // namespace giantrabbit::test_support
