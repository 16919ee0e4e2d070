// See learning_curve.h. Lines of training carry "loss", lines of validation "validation_exact".
#include "eval/learning_curve.h"

#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

namespace giantrabbit::eval {

LearningCurve read_learning_curve(const std::filesystem::path& directory) {
  LearningCurve curve;
  std::ifstream stream(directory / "metrics.jsonl");
  for (std::string line; std::getline(stream, line);) {
    const auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    const auto number = [&](const char* key) { return entry.contains(key) && entry[key].is_number(); };
    if (!entry.is_object() || !number("tokens")) continue;
    const double tokens = entry["tokens"].get<double>();
    if (number("loss")) curve.loss.push_back({tokens, entry["loss"].get<double>()});
    if (!number("validation_exact")) continue;
    curve.exact.push_back({tokens, entry["validation_exact"].get<double>()});
    if (number("validation_items")) curve.validation_items = entry["validation_items"].get<int64_t>();
  }
  return curve;
}

}  // namespace giantrabbit::eval
