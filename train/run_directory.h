// The files of a run: config.toml and vocabulary.json at the start, model.safetensors and summary.json at the
// end, each written atomically. A directory that already holds a run (a checkpoint, a model or lines of
// metrics.jsonl) is refused unless the run is resumed with the same configuration (its limits - minutes,
// steps, tokens - may be raised; one that was not set before may be any; its text may lie elsewhere), and
// while a process trains there.
#pragma once

#include <filesystem>

#include "data/vocabulary.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/training_data.h"

namespace giantrabbit::train {

// Held by one process at a time; ends with the process, however that ends.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::filesystem::path& folder);  // throws where another one holds it
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  ~DirectoryLock();

 private:
  int descriptor_;
};

class RunDirectory {
 public:
  // resume = false: makes the directory and writes config and vocabulary. resume = true: checks both against
  // the files. Removes what killed writers left. Throws std::runtime_error with one sentence.
  RunDirectory(std::filesystem::path path, RunConfig& config, const data::Vocabulary& vocabulary,
               bool resume);

  static std::filesystem::path checkpoints_of(const std::filesystem::path& path) {
    return path / "checkpoints";
  }
  std::filesystem::path checkpoints() const { return checkpoints_of(path_); }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  const std::filesystem::path& path() const { return path_; }
  void write_result(const model::GiantRabbit& network, const Counters& counters, int processes,
                    const Validation& validation) const;

 private:
  bool holds_run() const;
  std::filesystem::path path_;
  DirectoryLock lock_;
};

}  // namespace giantrabbit::train
