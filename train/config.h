// How a model is trained; every field is an option "train.<name>" of the command line and of config.toml.
#pragma once

#include <cstdint>
#include <string>

#include "eval/run.h"
#include "model/config.h"

namespace giantrabbit::train {

struct TrainConfig {
  // A run ends at whichever limit comes first; 0 = no such limit. At least one is needed.
  double minutes = 0;  // wall time of the run, validation included
  int64_t steps = 0;
  int64_t tokens = 0;  // target tokens that counted in the loss

  int64_t batch_tokens = 2048;  // padded target tokens per micro-batch, as far as a pool of problems has them
  int64_t accumulate = 1;       // micro-batches per update, in all processes together
  std::string optimizer = "muon";    // muon | adamw: for the hidden matrices; the rest always uses AdamW
  double learning_rate = 3e-3;       // AdamW
  double muon_learning_rate = 5e-3;  // Muon
  double weight_decay = 0.05;        // of the hidden matrices; never of embeddings and norms
  int64_t warmup_steps = 200;
  std::string schedule = "linear";  // linear | cosine decay over the whole run; the warm-up multiplies it
  double final_fraction = 0.01;     // of the learning rate, reached at the end
  double clip_norm = 1;             // largest global norm of the gradient; 0 = no clipping

  int64_t validation_items = 200;
  double validation_interval = 0.2;  // of the run, 0 = at the end only
  double checkpoint_seconds = 60;    // time between checkpoints; one is written at the end as well
  int64_t threads = 1;
  std::string precision = "float32";  // float32 | bfloat16: of matrix products; weights and sums stay float32

  void bind(model::OptionSet& options);
  // Both throw model::OptionError.
  void validate() const;
  void require_even_shares(int processes) const;  // of the micro-batches
};

// Everything that defines a run: config.toml holds exactly this.
struct RunConfig {
  model::ModelConfig model;
  eval::TaskConfig task;
  TrainConfig train;
  model::OptionSet options();  // bound to the fields of this object, which must outlive it
};

}  // namespace giantrabbit::train
