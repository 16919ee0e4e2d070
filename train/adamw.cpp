// See adamw.h.
#include "train/adamw.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_fused_adamw.h>

namespace giantrabbit::train {

FusedAdamW::FusedAdamW(std::vector<torch::Tensor> parameters, double weight_decay)
    : parameters_(std::move(parameters)), weight_decay_(weight_decay) {
  for (const torch::Tensor& parameter : parameters_) {
    first_moments_.push_back(torch::zeros_like(parameter.detach()));
    second_moments_.push_back(torch::zeros_like(parameter.detach()));
    steps_.push_back(torch::zeros({}, torch::kFloat32));
  }
}

void FusedAdamW::step(double learning_rate) {
  const torch::NoGradGuard guard;
  std::vector<torch::Tensor> parameters, gradients, first, second, steps;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].grad().defined()) continue;
    parameters.push_back(parameters_[i].detach());
    gradients.push_back(parameters_[i].grad().contiguous());  // the kernel ignores strides
    first.push_back(first_moments_[i]);
    second.push_back(second_moments_[i]);
    steps.push_back(steps_[i]);
  }
  if (parameters.empty()) return;
  at::_foreach_add_(steps, 1);
  at::_fused_adamw_(parameters, gradients, first, second, {}, steps, learning_rate, /*beta1=*/0.9,
                    /*beta2=*/0.98, weight_decay_, /*eps=*/1e-8, /*amsgrad=*/false, /*maximize=*/false);
}

void load_named(const model::NamedTensors& state, const std::string& name, torch::Tensor& tensor) {
  const auto found = state.find(name);
  if (found == state.end()) throw std::runtime_error("checkpoint: '" + name + "' is missing");
  if (found->second.sizes() != tensor.sizes() || found->second.scalar_type() != tensor.scalar_type()) {
    throw std::runtime_error("checkpoint: '" + name + "' has another shape or type than this model needs");
  }
  tensor.copy_(found->second);
}

void FusedAdamW::save(model::NamedTensors& state, const std::string& prefix) const {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const std::string name = prefix + "." + std::to_string(i);
    state[name + ".first"] = first_moments_[i];
    state[name + ".second"] = second_moments_[i];
    state[name + ".steps"] = steps_[i];
  }
}

void FusedAdamW::load(const model::NamedTensors& state, const std::string& prefix) {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const std::string name = prefix + "." + std::to_string(i);
    load_named(state, name + ".first", first_moments_[i]);
    load_named(state, name + ".second", second_moments_[i]);
    load_named(state, name + ".steps", steps_[i]);
  }
}

}  // namespace giantrabbit::train
