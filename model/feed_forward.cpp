// Feed-forward network with squared ReLU, and layer norm; see feed_forward.h.
#include "model/feed_forward.h"

#include <cmath>

#include "ops/squared_relu.h"

namespace giantrabbit::model {

FeedForwardImpl::FeedForwardImpl(const ModelConfig& config) {
  const double spread = 0.5 / std::sqrt(static_cast<double>(config.width));
  into = register_parameter("into", torch::randn({config.feed_forward, config.width}) * spread);
  out_of = register_parameter("out_of", torch::zeros({config.width, config.feed_forward}));
}

torch::Tensor FeedForwardImpl::forward(const torch::Tensor& x) {
  return torch::linear(ops::squared_relu(torch::linear(x, into)), out_of);
}

NormImpl::NormImpl(const ModelConfig& config) {
  gain = register_parameter("gain", torch::ones({config.width}));
  offset = register_parameter("offset", torch::zeros({config.width}));
}

torch::Tensor NormImpl::forward(const torch::Tensor& x) {
  return torch::layer_norm(x, {x.size(-1)}, gain, offset);
}

}  // namespace giantrabbit::model
