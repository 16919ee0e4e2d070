// The training loop: next batch, forward, loss, backward, update; now and then validation, a log line, a
// checkpoint. With limits in steps or tokens the result is a pure function of the configuration: a run killed
// at any moment and resumed ends with the same bits. With --minutes the learning rate follows the clock, so
// runs repeat closely, not exactly.
#pragma once

#include <csignal>
#include <optional>
#include <string>

#include "data/batcher.h"
#include "model/giant_rabbit.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/metrics_log.h"
#include "train/optimizer.h"
#include "train/progress.h"
#include "train/run_directory.h"
#include "train/training_data.h"

namespace giantrabbit::train {

class Trainer {
 public:
  // Seeds LibTorch, builds the model and, when resuming, loads the newest checkpoint of the directory
  // (starting over when there is none yet).
  Trainer(RunConfig& config, const std::filesystem::path& out, bool resume);

  // Trains to the limit, or until *stop becomes nonzero: then a checkpoint is written and false returned.
  bool run(const volatile std::sig_atomic_t* stop);
  // One update; the mean loss of the batch.
  double step();

  model::GiantRabbit& network() { return network_; }
  const Counters& counters() const { return counters_; }

 private:
  torch::Tensor batch_loss(const data::Batch& batch);
  double share() const;
  void require_finite(const char* what, double value) const;
  void tick();
  Validation validate();
  void advance_validation();
  void log_interval(bool force);
  void checkpoint();  // throws where a weight is not finite: such a run could not be continued
  ProgressState progress_state() const;

  RunConfig& config_;
  TrainingData data_;
  RunDirectory directory_;
  model::GiantRabbit network_{nullptr};
  std::optional<Optimizer> optimizer_;
  data::Batcher batcher_;
  Counters counters_;
  std::optional<MetricsLog> log_;
  Progress progress_;

  std::string validation_text_;  // of the newest validation, for the live line
  double running_loss_ = 0;      // decaying mean for the live line
  double last_checkpoint_ = 0;
  double clock_ = 0;  // steady clock at the last tick
  double processor_clock_ = 0;
};

}  // namespace giantrabbit::train
