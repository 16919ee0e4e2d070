// The training loop: next batch, forward, loss, backward, update; now and then validation, a log line, a
// checkpoint. With limits in steps or tokens the result is a pure function of the configuration: a run killed
// at any moment and resumed ends with the same bits. With --minutes the learning rate follows the clock, so
// runs repeat closely, not exactly.
//
// An update takes the mean loss over the target tokens of `accumulate` micro-batches, each of which is
// computed alone; the processes of a group share them. Which process computes which changes the sums'
// rounding at most, so a run may go on with another number of processes. Only the first process writes into
// the run's directory.
#pragma once

#include <csignal>
#include <optional>
#include <string>

#include "data/batcher.h"
#include "model/giant_rabbit.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/gradient_buckets.h"
#include "train/metrics_log.h"
#include "train/optimizer.h"
#include "train/process_group.h"
#include "train/progress.h"
#include "train/run_directory.h"
#include "train/training_data.h"

namespace giantrabbit::train {

class Trainer {
 public:
  // Seeds LibTorch, builds the model and, when resuming, loads the newest checkpoint of the directory
  // (starting over when there is none yet). Every process of the group does so with the same arguments; all
  // read the directory of a run that is resumed.
  Trainer(RunConfig& config, const std::filesystem::path& out, bool resume, ProcessGroup group = {});

  // Trains to the limit, or until *stop becomes nonzero in any process: then a checkpoint is written and
  // false returned.
  bool run(const volatile std::sig_atomic_t* stop);
  // One update; the mean loss of its batch.
  double step();

  model::GiantRabbit& network() { return network_; }
  const Counters& counters() const { return counters_; }

 private:
  struct MicroBatch {
    data::Batch batch;
    uint64_t seed = 0;  // of what the model draws for it
  };
  struct Update {
    std::vector<MicroBatch> micro_batches;  // this process's
    int64_t target_tokens = 0;              // of all processes
  };
  Update next_update();
  torch::Tensor batch_loss(const data::Batch& batch);
  double share() const;
  void require_finite(const char* what, double value) const;
  void require_same_state() const;
  bool tick(const volatile std::sig_atomic_t* stop);
  Validation validate();
  void advance_validation();
  void log_interval(bool force);
  void checkpoint();  // throws where a weight is not finite: such a run could not be continued
  ProgressState progress_state() const;

  RunConfig& config_;
  ProcessGroup group_;
  TrainingData data_;
  std::filesystem::path checkpoints_;
  std::optional<RunDirectory> directory_;  // of the first process
  model::GiantRabbit network_{nullptr};
  std::optional<Optimizer> optimizer_;
  std::optional<GradientBuckets> gradients_;
  data::Batcher batcher_;
  Counters counters_;
  std::optional<MetricsLog> log_;  // of the first process
  Progress progress_;

  std::string validation_text_;  // of the newest validation, for the live line
  double running_loss_ = 0;      // decaying mean for the live line
  double last_checkpoint_ = 0;
  double clock_ = 0;  // steady clock at the last tick
  double processor_clock_ = 0;
};

}  // namespace giantrabbit::train
