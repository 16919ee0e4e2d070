// See learning_curve.h. Lines of training carry "loss", lines of validation "validation_exact".
#include "eval/learning_curve.h"

#include <fstream>
#include <stdexcept>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace giantrabbit::eval {
namespace {

constexpr double most_items = 1e9;

}  // namespace

LearningCurve read_learning_curve(const std::filesystem::path& directory) {
  LearningCurve curve;
  const std::filesystem::path file = directory / "metrics.jsonl";
  std::ifstream stream(file);
  int64_t line_number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++line_number;
    const auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    const auto number = [&](const char* key) { return entry.contains(key) && entry[key].is_number(); };
    const auto value = [&](const char* key, double high) {
      const auto read = entry[key].get<double>();
      if (read >= 0 && read <= high) return read;
      throw std::runtime_error(fmt::format("{}, line {}: {} must lie between 0 and {:g}, got {:g}",
                                           file.string(), line_number, key, high, read));
    };
    if (!entry.is_object() || !number("tokens")) continue;
    const auto tokens = entry["tokens"].get<double>();
    if (number("loss")) curve.loss.push_back({tokens, entry["loss"].get<double>()});
    if (!number("validation_exact")) continue;
    curve.exact.push_back({tokens, value("validation_exact", 1)});
    if (number("validation_items")) {
      curve.validation_items = static_cast<int64_t>(value("validation_items", most_items));
    }
  }
  return curve;
}

}  // namespace giantrabbit::eval
