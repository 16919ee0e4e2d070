// Which parameter gets which update: Muon (or AdamW) for the hidden matrices, AdamW, without weight decay,
// for embeddings and norms; gradient clipping by global norm in front.
#pragma once

#include <optional>

#include <torch/torch.h>

#include "model/giant_rabbit.h"
#include "train/adamw.h"
#include "train/config.h"
#include "train/muon.h"

namespace giantrabbit::train {

class Optimizer {
 public:
  Optimizer(model::GiantRabbit& network, const TrainConfig& config);
  // One update with learning rates scaled by `factor`; returns the gradient's norm before clipping. A norm
  // that is not finite changes no weight.
  double step(double factor);
  void zero_gradients();
  void save(model::NamedTensors& state) const;
  void load(const model::NamedTensors& state);

 private:
  TrainConfig config_;
  std::vector<torch::Tensor> parameters_;
  std::optional<Muon> muon_;
  std::vector<FusedAdamW> adamw_;  // with decay, without decay
};

}  // namespace giantrabbit::train
