// Option names and help texts; see config.h.
#include "train/config.h"

#include <fmt/format.h>

namespace giantrabbit::train {

void TrainConfig::bind(model::OptionSet& options) {
  options.add("train.minutes", &minutes, "stop after this wall time; 0: no limit of time");
  options.add("train.steps", &steps, "stop after this many updates; 0: no limit of updates");
  options.add("train.tokens", &tokens, "stop after this many target tokens; 0: no limit of tokens");
  options.add(
      "train.batch_tokens", &batch_tokens,
      "padded target tokens per micro-batch, which comes from one pool of 1024 problems and is never larger",
      {1, 1 << 24});
  options.add("train.accumulate", &accumulate,
              "micro-batches per update, joined to one batch; a launcher's processes share them evenly",
              {1, 1 << 16});
  options.add("train.optimizer", &optimizer, "optimiser of the hidden matrices", {"muon", "adamw"});
  options.add("train.learning_rate", &learning_rate, "peak learning rate of AdamW");
  options.add("train.muon_learning_rate", &muon_learning_rate, "peak learning rate of Muon");
  options.add("train.weight_decay", &weight_decay, "decay of the hidden matrices per unit of learning rate");
  options.add("train.warmup_steps", &warmup_steps, "updates of linear warm-up");
  options.add("train.schedule", &schedule, "decay over the whole run, the warm-up included",
              {"linear", "cosine"});
  options.add("train.final_fraction", &final_fraction, "share of the peak learning rate at the end", {0, 1});
  options.add("train.clip_norm", &clip_norm, "largest global norm of the gradient; 0: no clipping");
  options.add("train.validation_items", &validation_items,
              "problems decoded, or windows of a text predicted, at every validation", {1, INT64_MAX});
  options.add("train.validation_interval", &validation_interval,
              "share of the run between validations; 0: at the end only", {0, 1});
  options.add("train.checkpoint_seconds", &checkpoint_seconds, "time between checkpoints");
  options.add("train.precision", &precision, "number format of matrix products", {"float32", "bfloat16"});
  options.add("train.threads", &threads, "threads of one operator", {1, 1024});
}

void TrainConfig::validate() const {
  if (minutes <= 0 && steps == 0 && tokens == 0) {
    throw model::OptionError("nothing says when to stop: give --minutes, --steps or --tokens");
  }
}

void TrainConfig::require_even_shares(int processes) const {
  if (accumulate % processes == 0) return;
  throw model::OptionError(
      fmt::format("train.accumulate: {0} processes cannot share {1} micro-batches evenly; give --accumulate "
                  "{0} or a multiple",
                  processes, accumulate));
}

model::OptionSet RunConfig::options() {
  model::OptionSet options;
  task.bind(options);
  model.bind(options);
  train.bind(options);
  return options;
}

}  // namespace giantrabbit::train
