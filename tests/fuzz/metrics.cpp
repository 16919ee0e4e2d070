// In: metrics.jsonl of a run, as resuming and reports read it. Accepted: what resuming keeps are the file's
// first lines, and resuming again keeps all of them.
#include <nlohmann/json.hpp>

#include "data/atomic_file.h"
#include "eval/learning_curve.h"
#include "tests/fuzz/fuzz.h"
#include "train/metrics_log.h"

namespace giantrabbit::fuzz {
namespace {

std::string resumed(const std::filesystem::path& file) {
  train::Counters counters;
  counters.step = counters.validated_step = 100;
  const train::MetricsLog log(file, counters);
  return data::read_file(file);
}

}  // namespace

void metrics(std::string_view bytes) {
  const std::filesystem::path folder =
      scratch_folder() / "metrics";  // emptied: a log may write other files too
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const std::filesystem::path file = scratch_file("metrics/metrics.jsonl", bytes);
  eval::LearningCurve curve;
  if (accepts([&] { curve = eval::read_learning_curve(folder); })) {
    for (const auto& point : curve.exact)
      require(point.value >= 0 && point.value <= 1, "shares lie in [0, 1]");
  }
  const std::string kept = resumed(file);
  const std::string all = std::string(bytes) + "\n";
  require(all.starts_with(kept) && (kept.empty() || kept.back() == '\n'), "whole first lines are kept");
  require(resumed(file) == kept, "what was kept once is kept again");
}

}  // namespace giantrabbit::fuzz
