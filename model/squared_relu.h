// relu(x)^2 in one pass, with a gradient that reads the input once: the activation of every feed-forward network.
#pragma once

#include <torch/torch.h>

namespace giantrabbit::model {

torch::Tensor squared_relu(const torch::Tensor& x);

}  // namespace giantrabbit::model
