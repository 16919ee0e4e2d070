// One file with everything a run needs to continue exactly: weights, optimiser state and the counters of the
// loop, from which all seeds follow. Container: safetensors with metadata; written atomically, the last two
// are kept.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "data/batcher.h"
#include "model/giant_rabbit.h"
#include "train/optimizer.h"

namespace giantrabbit::train {

struct Counters {
  int64_t step = 0;              // finished updates
  int64_t tokens = 0;            // target tokens in the loss so far
  double seconds = 0;            // wall time of the run so far
  double processor_seconds = 0;  // user and system time of all processes, validation included
  data::Batcher::Position position;
  double next_validation = 0;  // share of the run at which the next one is due
  int64_t validated_step = 0;  // step of the newest validation in metrics.jsonl
  // Since the last line of metrics.jsonl: seconds at its begin, sums.
  double interval_start = 0;
  double interval_loss = 0;
  int64_t interval_steps = 0;
  int64_t interval_tokens = 0;
};

// Writes <directory>/step-<n>.safetensors and removes all but the last two.
void save_checkpoint(const std::filesystem::path& directory, const model::GiantRabbit& network,
                     const Optimizer& optimizer, const Counters& counters);

// The newest complete checkpoint of the directory, if any. A damaged newest file is an error, not skipped:
// atomic writes leave none behind, so it was damaged later and must not be passed over in silence.
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& directory);

// Throws std::runtime_error where the file is too small to hold a model of as many weights. To be asked
// before one is built: a configuration may have been changed since.
void require_room_for(const std::filesystem::path& file, int64_t weights);

// Restores the network, the optimiser and the batcher's position; the counters are checked to be possible
// ones. Throws std::runtime_error naming the file and the reason.
Counters load_checkpoint(const std::filesystem::path& file, model::GiantRabbit& network, Optimizer& optimizer,
                         data::Batcher& batcher);

}  // namespace giantrabbit::train
