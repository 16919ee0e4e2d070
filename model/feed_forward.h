// Position-wise network x -> relu(x W1)^2 W2 and the layer norm every block uses. [.., D] -> [.., D].
#pragma once

#include <torch/torch.h>

#include "model/config.h"

namespace giantrabbit::model {

class FeedForwardImpl : public torch::nn::Module {
 public:
  explicit FeedForwardImpl(const ModelConfig& config);
  torch::Tensor forward(const torch::Tensor& x);
  torch::Tensor into;    // [feed_forward, D]
  torch::Tensor out_of;  // [D, feed_forward], starts at zero
};
TORCH_MODULE(FeedForward);

// Layer normalisation over the last dimension with learned gain and offset.
class NormImpl : public torch::nn::Module {
 public:
  explicit NormImpl(const ModelConfig& config);
  torch::Tensor forward(const torch::Tensor& x);
  torch::Tensor gain, offset;  // [D]
};
TORCH_MODULE(Norm);

}  // namespace giantrabbit::model
