// Deeper queries, keys and values: the projection of each head is itself computed from smaller matrices,
//   W = base * softmax_rows(A B / temperature)   gated
//   W =        softmax_rows(A B / temperature)   strict: every row of W is a point of the simplex
// with A [D, r], B [r, d] and base [D, d] per head and per kind; x W are the head's queries, keys or values.
//
// The ABC sorter that this belongs to is no model of its own: it is GiantRabbit without encoder and thoughts,
// one decoder layer, learned positions and tied output, whose self-attention takes its matrices from here
// (model.projection = gated | strict). The task is a family of problems like any other
// (data/families/letter_sorting.cpp), so the training loop, checkpoints, decoding and reports serve it as
// they are; scripts/abc_sorter.toml holds the sizes. Only the matrix is deeper: attention sees an ordinary
// one.
#pragma once

#include <torch/torch.h>

#include "model/config.h"

namespace giantrabbit::model {

class DeepProjectionImpl : public torch::nn::Module {
 public:
  explicit DeepProjectionImpl(const ModelConfig& config);
  // Queries, keys and values of all heads as one matrix [3 D, D] for torch::linear, differentiable.
  torch::Tensor matrix() const;

  torch::Tensor left;   // A [3, H, D, r]: queries, keys, values
  torch::Tensor right;  // B [3, H, r, d]
  torch::Tensor base;   // [3, H, D, d]; undefined when strict

 private:
  double temperature_;
};
TORCH_MODULE(DeepProjection);

}  // namespace giantrabbit::model
