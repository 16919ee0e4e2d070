// See metrics_log.h.
#include "train/metrics_log.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/atomic_file.h"

namespace giantrabbit::train {
namespace {

// Lines of losses and lines of validations of one step have a counter each that says whether it was written.
bool was_written(const nlohmann::json& line, const Counters& at) {
  const auto step = line.find("step");
  if (step == line.end() || !step->is_number_integer()) return false;
  if (*step != at.step) return *step < at.step;
  return line.contains("loss") ? at.interval_steps == 0 : at.validated_step == at.step;
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& file, const Counters& resumed) : file_(file) {
  std::string kept;
  if (resumed.step > 0 && std::filesystem::exists(file)) {
    std::ifstream old(file);
    for (std::string line; std::getline(old, line);) {
      const auto parsed = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (!parsed.is_object() || !was_written(parsed, resumed)) break;
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
