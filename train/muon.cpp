// See muon.h.
#include "train/muon.h"

#include <array>
#include <cmath>

namespace giantrabbit::train {
namespace {

constexpr double momentum_decay = 0.95;

// Coefficients a, b, c of a X + b (X X^T) X + c (X X^T)^2 X, one triple per step. Each polynomial is the
// minimax approximation of 1 by an odd quintic on the interval that the step before leaves, starting from
// [0.005, 1] (Remez exchange; the idea of Polar Express, Amsel et al. 2025). Four of them reach [0.92, 1.08];
// the usual five steps with fixed coefficients reach [0.68, 1.2].
constexpr std::array<std::array<double, 3>, 4> polynomials = {
    {{8.298703491437527, -24.430498148217676, 18.090304193078698},
     {3.9152209604606227, -2.9211302321835286, 0.5592232598130898},
     {3.174603657055768, -2.3804328338954384, 0.4978263935199089},
     {2.189462839793555, -1.5672206834558322, 0.4078871579955806}}};

}  // namespace

torch::Tensor orthogonalize(const torch::Tensor& x) {
  torch::Tensor y = x / (x.norm(2, {-2, -1}, true) * 1.02 +
                         1e-7);  // a margin for rounding: the first polynomial needs norms <= 1
  for (const auto& [a, b, c] : polynomials) {
    const torch::Tensor gram = torch::bmm(y, y.transpose(1, 2));
    const torch::Tensor polynomial = torch::baddbmm(gram, gram, gram, b, c);  // b G + c G G
    y = torch::baddbmm(y, polynomial, y, a, 1);
  }
  return y;
}

Muon::Muon(std::vector<model::GiantRabbitImpl::HiddenMatrix> matrices, double weight_decay,
           at::ScalarType products)
    : weight_decay_(weight_decay), products_(products) {
  for (const auto& [weight, parts] : matrices) {
    const int64_t rows = weight.size(0) / parts;
    const int64_t columns = weight.size(1);
    const bool transposed = rows > columns;
    const std::vector<int64_t> shape = {std::min(rows, columns), std::max(rows, columns)};
    auto stack = std::find_if(stacks_.begin(), stacks_.end(), [&](const Stack& candidate) {
      return candidate.transposed == transposed && candidate.views[0].size(transposed ? 1 : 0) == shape[0] &&
             candidate.views[0].size(transposed ? 0 : 1) == shape[1];
    });
    if (stack == stacks_.end()) {
      stacks_.emplace_back();
      stack = std::prev(stacks_.end());
      stack->transposed = transposed;
    }
    for (int64_t part = 0; part < parts; ++part) {
      stack->views.push_back(weight.detach().narrow(0, part * rows, rows));
      stack->owners.push_back(weight);
      stack->slices.emplace_back(part * rows, rows);
    }
  }
  for (Stack& stack : stacks_) {
    const torch::Tensor& first = stack.views[0];
    const auto count = static_cast<int64_t>(stack.views.size());
    stack.momentum = stack.transposed ? torch::zeros({count, first.size(1), first.size(0)})
                                      : torch::zeros({count, first.size(0), first.size(1)});
  }
}

torch::Tensor Muon::stacked_gradients(const Stack& stack) const {
  std::vector<torch::Tensor> gradients;
  for (size_t i = 0; i < stack.views.size(); ++i) {
    const torch::Tensor& gradient = stack.owners[i].grad();
    const auto [begin, rows] = stack.slices[i];
    const torch::Tensor part =
        gradient.defined() ? gradient.narrow(0, begin, rows) : torch::zeros_like(stack.views[i]);
    gradients.push_back(stack.transposed ? part.t() : part);
  }
  return torch::stack(gradients);
}

void Muon::step(double learning_rate) {
  const torch::NoGradGuard guard;
  for (Stack& stack : stacks_) {
    const torch::Tensor gradients = stacked_gradients(stack);
    stack.momentum.lerp_(gradients, 1 - momentum_decay);
    const torch::Tensor direction = gradients.lerp(stack.momentum, momentum_decay);  // Nesterov
    const torch::Tensor update = orthogonalize(direction.to(products_));
    // Matches the root mean square of AdamW's updates, so that both share scale and decay.
    const double size = 0.2 * std::sqrt(static_cast<double>(update.size(2)));
    for (size_t i = 0; i < stack.views.size(); ++i) {
      const torch::Tensor part = update[static_cast<int64_t>(i)];
      stack.views[i].mul_(1 - learning_rate * weight_decay_);
      stack.views[i].sub_(stack.transposed ? part.t() : part, learning_rate * size);
    }
  }
}

void Muon::save(model::NamedTensors& state, const std::string& prefix) const {
  for (size_t i = 0; i < stacks_.size(); ++i) state[prefix + "." + std::to_string(i)] = stacks_[i].momentum;
}

void Muon::load(const model::NamedTensors& state, const std::string& prefix) {
  for (size_t i = 0; i < stacks_.size(); ++i) {
    const auto found = state.find(prefix + "." + std::to_string(i));
    if (found == state.end() || found->second.sizes() != stacks_[i].momentum.sizes()) {
      throw std::runtime_error("checkpoint: the momentum of Muon is missing or has another shape");
    }
    stacks_[i].momentum.copy_(found->second);
  }
}

}  // namespace giantrabbit::train
