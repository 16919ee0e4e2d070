// See optimizer.h.
#include "train/optimizer.h"

#include <cmath>

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>

namespace giantrabbit::train {

Optimizer::Optimizer(model::GiantRabbit& network, const TrainConfig& config)
    : config_(config), parameters_(network->parameters()) {
  std::vector<torch::Tensor> with_decay, without_decay;
  const auto hidden = network->hidden_matrices();
  for (const torch::Tensor& parameter : parameters_) {
    const bool is_hidden = std::any_of(hidden.begin(), hidden.end(),
                                       [&](const auto& matrix) { return matrix.weight.is_same(parameter); });
    if (is_hidden && config.optimizer == "muon") continue;
    (is_hidden ? with_decay : without_decay).push_back(parameter);
  }
  if (config.optimizer == "muon") {
    muon_.emplace(hidden, config.weight_decay, config.precision == "bfloat16" ? at::kBFloat16 : at::kFloat);
  }
  adamw_.emplace_back(std::move(with_decay), config.weight_decay);
  adamw_.emplace_back(std::move(without_decay), 0);
}

double Optimizer::step(double factor) {
  const torch::NoGradGuard guard;
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& parameter : parameters_) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  const double norm = torch::stack(at::_foreach_norm(gradients)).norm().item<double>();
  if (!std::isfinite(norm)) return norm;
  if (config_.clip_norm > 0 && norm > config_.clip_norm) {
    at::_foreach_mul_(gradients, config_.clip_norm / norm);
  }
  if (muon_) muon_->step(config_.muon_learning_rate * factor);
  for (FusedAdamW& group : adamw_) group.step(config_.learning_rate * factor);
  return norm;
}

void Optimizer::zero_gradients() {
  for (torch::Tensor& parameter : parameters_) parameter.mutable_grad().reset();
}

void Optimizer::save(model::NamedTensors& state) const {
  if (muon_) muon_->save(state, "optimizer.muon");
  for (size_t i = 0; i < adamw_.size(); ++i) adamw_[i].save(state, "optimizer.adamw" + std::to_string(i));
}

void Optimizer::load(const model::NamedTensors& state) {
  if (muon_) muon_->load(state, "optimizer.muon");
  for (size_t i = 0; i < adamw_.size(); ++i) adamw_[i].load(state, "optimizer.adamw" + std::to_string(i));
}

}  // namespace giantrabbit::train
