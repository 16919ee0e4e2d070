// Hidden states [.., D] -> logits [.., V]: layer norm, then the word table itself (tied weights).
#pragma once

#include <torch/torch.h>

#include "model/config.h"
#include "model/feed_forward.h"

namespace giantrabbit::model {

class OutputHeadImpl : public torch::nn::Module {
 public:
  explicit OutputHeadImpl(const ModelConfig& config) : norm_(register_module("norm", Norm(config))) {}
  torch::Tensor forward(const torch::Tensor& hidden, const torch::Tensor& word_table) {
    return torch::linear(norm_->forward(hidden), word_table);
  }

 private:
  Norm norm_{nullptr};
};
TORCH_MODULE(OutputHead);

// Output weights of a configuration: softmax, sparsemax or entmax-1.5 of the logits.
torch::Tensor output_weights(const ModelConfig& config, const torch::Tensor& logits);

}  // namespace giantrabbit::model
