// AdamW over LibTorch's fused kernel: one call per group of tensors instead of a loop of small ones.
// Loshchilov and Hutter 2019; beta 0.9, 0.98.
#pragma once

#include <string>
#include <vector>

#include <torch/torch.h>

#include "model/safetensors.h"

namespace giantrabbit::train {

class FusedAdamW {
 public:
  FusedAdamW(std::vector<torch::Tensor> parameters, double weight_decay);
  // Parameters without a gradient keep their value and state.
  void step(double learning_rate);
  // Moments and step counts, named "<prefix>.<index>.<what>"; load() checks names and shapes.
  void save(model::NamedTensors& state, const std::string& prefix) const;
  void load(const model::NamedTensors& state, const std::string& prefix);

 private:
  std::vector<torch::Tensor> parameters_, first_moments_, second_moments_, steps_;
  double weight_decay_;
};

// Copies state[name] into tensor; throws std::runtime_error that names it when it is missing or has another
// shape.
void load_named(const model::NamedTensors& state, const std::string& name, torch::Tensor& tensor);

}  // namespace giantrabbit::train
