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

constexpr std::string_view validation = "validation_";

std::string tag_of(const std::string& key) {
  return key.starts_with(validation) ? "validation/" + key.substr(validation.size()) : "train/" + key;
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& file, const Counters& resumed)
    : file_(file), events_(file.parent_path(), resumed.step) {
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
  std::vector<Scalar> scalars;
  const bool of_training = line.contains("loss");
  for (const auto& [key, value] : line.items()) {
    const bool shown = key != "step" && (of_training || key.starts_with(validation));
    if (shown && value.is_number()) scalars.push_back({tag_of(key), value.get<double>()});
  }
  events_.write(line.at("step").get<int64_t>(), scalars);
}

void MetricsLog::write(int64_t step, const AttentionSample& attention) {
  if (attention.densities.empty()) return;
  std::vector<Scalar> scalars;
  for (const auto& [name, density] : attention.densities) scalars.push_back({"density/" + name, density});
  events_.write(step, scalars);
  events_.write(step, "attention/" + attention.name, attention.picture);
}

}  // namespace giantrabbit::train
