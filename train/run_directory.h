// The files of a run: config.toml and vocabulary.json at the start, model.safetensors and summary.json at the
// end, each written atomically. A directory that already holds a run is refused unless the run is resumed
// with the same configuration (its limits - minutes, steps, tokens - may be raised).
#pragma once

#include <filesystem>

#include "data/vocabulary.h"
#include "train/checkpoint.h"
#include "train/config.h"

namespace giantrabbit::train {

class RunDirectory {
 public:
  // resume = false: makes the directory and writes config and vocabulary. resume = true: checks both against
  // the files. Throws std::runtime_error with one sentence.
  RunDirectory(std::filesystem::path path, RunConfig& config, const data::Vocabulary& vocabulary,
               bool resume);

  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  const std::filesystem::path& path() const { return path_; }
  void write_result(const model::GiantRabbit& network, const Counters& counters, double exact) const;

 private:
  std::filesystem::path path_;
};

}  // namespace giantrabbit::train
