// Reads tests/fixtures; the folder is compiled in as GR_FIXTURES.
#include "tests/support/golden.h"

#include <cmath>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <vector>

#include <torch/torch.h>

namespace giantrabbit::test_support {
namespace {

void append_numbers(const nlohmann::json& lists, size_t level, const std::vector<int64_t>& sizes,
                    std::vector<double>& numbers) {
  if (level == sizes.size()) {
    numbers.push_back(golden_number(lists));
    return;
  }
  if (!lists.is_array() || static_cast<int64_t>(lists.size()) != sizes[level]) {
    throw std::runtime_error("golden: lists of one level need equal lengths, got " + lists.dump());
  }
  for (const nlohmann::json& part : lists) append_numbers(part, level + 1, sizes, numbers);
}

}  // namespace

nlohmann::json load_golden(const std::string& file) {
  const std::string path = std::string(GR_FIXTURES) + "/" + file;
  std::ifstream stream(path);
  if (!stream) throw std::runtime_error("golden: cannot open " + path);
  return nlohmann::json::parse(stream);
}

double golden_number(const nlohmann::json& number) {
  if (number.is_number()) return number.get<double>();
  if (number.is_boolean()) return number.get<bool>() ? 1.0 : 0.0;
  if (!number.is_string()) throw std::runtime_error("golden: expected a number, got " + number.dump());
  const std::string text = number.get<std::string>();
  if (text == "-inf") return -INFINITY;
  size_t used = 0;
  const double numerator = std::stod(text, &used);
  if (used == text.size()) return numerator;
  if (text[used] != '/') throw std::runtime_error("golden: expected p/q, got '" + text + "'");
  const std::string rest = text.substr(used + 1);
  const double denominator = std::stod(rest, &used);
  if (used != rest.size()) throw std::runtime_error("golden: expected p/q, got '" + text + "'");
  return numerator / denominator;
}

at::Tensor golden_tensor(const nlohmann::json& lists, at::ScalarType dtype) {
  std::vector<int64_t> sizes;
  for (const nlohmann::json* level = &lists; level->is_array(); level = &level->front()) {
    sizes.push_back(static_cast<int64_t>(level->size()));
    if (level->empty()) break;
  }
  std::vector<double> numbers;
  append_numbers(lists, 0, sizes, numbers);
  return at::tensor(numbers, at::kDouble).reshape(sizes).to(dtype);
}

}  // namespace giantrabbit::test_support
