// metrics.jsonl: one JSON object per line, appended and flushed, so that a killed run leaves whole lines.
// Resuming at step s first drops every line of a later step, then continues the file as if nothing had
// happened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>

#include <nlohmann/json_fwd.hpp>

namespace giantrabbit::train {

class MetricsLog {
 public:
  // Keeps the lines of steps <= resumed_step; 0 starts an empty file.
  MetricsLog(const std::filesystem::path& file, int64_t resumed_step);
  void write(const nlohmann::ordered_json& line);

 private:
  std::filesystem::path file_;
  std::ofstream stream_;
};

}  // namespace giantrabbit::train
