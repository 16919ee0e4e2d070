// See metrics_log.h.
#include "train/metrics_log.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/atomic_file.h"

namespace giantrabbit::train {

MetricsLog::MetricsLog(const std::filesystem::path& file, int64_t resumed_step) : file_(file) {
  std::string kept;
  if (resumed_step > 0 && std::filesystem::exists(file)) {
    std::ifstream old(file);
    for (std::string line; std::getline(old, line);) {
      const auto parsed = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (!parsed.is_object() || parsed.value("step", int64_t{0}) > resumed_step) break;
      kept += line + "\n";
    }
  }
  data::write_file_atomically(file, kept);
  stream_.open(file, std::ios::app);
}

void MetricsLog::write(const nlohmann::ordered_json& line) {
  stream_ << line.dump() << '\n' << std::flush;
  if (!stream_) throw std::runtime_error(fmt::format("{}: cannot be written", file_.string()));
}

}  // namespace giantrabbit::train
