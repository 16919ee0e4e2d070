// metrics.jsonl: one JSON object per line, appended and flushed, so that a killed run leaves whole lines.
// Resuming first drops every line that the run will write again, then continues the file as if nothing had
// happened.
#pragma once

#include <filesystem>
#include <fstream>

#include <nlohmann/json_fwd.hpp>

#include "train/checkpoint.h"

namespace giantrabbit::train {

class MetricsLog {
 public:
  // Keeps the lines that were written when the counters had these values; step 0 starts an empty file.
  MetricsLog(const std::filesystem::path& file, const Counters& resumed);
  void write(const nlohmann::ordered_json& line);

 private:
  std::filesystem::path file_;
  std::ofstream stream_;
};

}  // namespace giantrabbit::train
