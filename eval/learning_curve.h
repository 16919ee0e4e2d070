// The learning curve of a run, read from the metrics.jsonl that training writes.
#pragma once

#include <filesystem>
#include <vector>

namespace giantrabbit::eval {

struct LearningCurve {
  struct Point {
    double tokens = 0;
    double value = 0;
  };
  std::vector<Point> loss;       // mean loss per token since the point before
  std::vector<Point> exact;      // share of right validation answers
  int64_t validation_items = 0;  // problems behind each of `exact`
};

// Empty when the file is missing. A line that is no JSON object, as a run that is being written may have
// last, is passed over. Throws std::runtime_error naming file and line for a validation that cannot be.
LearningCurve read_learning_curve(const std::filesystem::path& directory);

}  // namespace giantrabbit::eval
