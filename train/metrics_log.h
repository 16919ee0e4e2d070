// metrics.jsonl: one JSON object per line, appended and flushed, so that a killed run leaves whole lines.
// Resuming first drops every line that the run will write again, then continues the file as if nothing had
// happened. Beside it the same figures and a sample of the attention for TensorBoard (event_file.h), a file
// for every start of the run.
#pragma once

#include <filesystem>
#include <fstream>

#include <nlohmann/json_fwd.hpp>

#include "train/attention_sample.h"
#include "train/checkpoint.h"
#include "train/event_file.h"

namespace giantrabbit::train {

class MetricsLog {
 public:
  // Keeps the lines that were written when the counters had these values; step 0 starts an empty file.
  MetricsLog(const std::filesystem::path& file, const Counters& resumed);
  // The line's figures become TensorBoard's scalars: "validation_exact" is "validation/exact", those of a
  // line with a loss are "train/..". Expects the key "step".
  void write(const nlohmann::ordered_json& line);
  void write(int64_t step, const AttentionSample& attention);

 private:
  std::filesystem::path file_;
  std::ofstream stream_;
  EventFile events_;
};

}  // namespace giantrabbit::train
