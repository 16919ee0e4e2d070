// Muon: momentum whose update is made (nearly) orthogonal by a Newton-Schulz iteration (Jordan et al. 2024),
// for the matrices of the hidden layers. Matrices of equal shape are stacked and iterated in one batched
// product; stacked query, key and value parts are treated as matrices of their own. The iteration may run in
// bfloat16: it corrects most of its own rounding; momentum and weights stay float32.
#pragma once

#include <string>
#include <vector>

#include <torch/torch.h>

#include "model/giant_rabbit.h"
#include "model/safetensors.h"

namespace giantrabbit::train {

class Muon {
 public:
  Muon(std::vector<model::GiantRabbitImpl::HiddenMatrix> matrices, double weight_decay,
       at::ScalarType products = at::kFloat);
  void step(double learning_rate);
  void save(model::NamedTensors& state, const std::string& prefix) const;
  void load(const model::NamedTensors& state, const std::string& prefix);

 private:
  // Matrices of one shape, stacked; a wide matrix is stored as it is, a tall one transposed, so rows <=
  // columns.
  struct Stack {
    std::vector<torch::Tensor> views;                 // [rows, columns] views of parameters
    std::vector<torch::Tensor> owners;                // the parameter each view belongs to
    std::vector<std::pair<int64_t, int64_t>> slices;  // first row and rows of the view in its owner
    bool transposed = false;
    torch::Tensor momentum;  // [n, rows, columns]
  };
  torch::Tensor stacked_gradients(const Stack& stack) const;
  std::vector<Stack> stacks_;
  double weight_decay_;
  at::ScalarType products_;
};

// Drives the singular values of x [n, r, c], r <= c, towards 1: those of at least 0.5% of the Frobenius norm
// end within 0.9 .. 1.1, smaller ones in proportion below. In x's own type.
torch::Tensor orthogonalize(const torch::Tensor& x);

}  // namespace giantrabbit::train
