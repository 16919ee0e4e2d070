// See deep_projection.h.
#include "model/deep_projection.h"

#include <cmath>

namespace giantrabbit::model {

DeepProjectionImpl::DeepProjectionImpl(const ModelConfig& config)
    : temperature_(config.projection_temperature) {
  const int64_t heads = config.heads;
  const int64_t head_width = config.width / heads;
  const int64_t rank = config.projection_rank;
  left = register_parameter("left", torch::randn({3, heads, config.width, rank}));
  // A B has entries of variance 1, whatever the rank: rows of the softmax differ, but none is one-hot.
  right = register_parameter(
      "right", torch::randn({3, heads, rank, head_width}) / std::sqrt(static_cast<double>(rank)));
  if (config.projection == "strict") return;
  // The softmax's mean is 1/d: W starts about as large as a plain matrix does.
  const double spread = 0.5 * static_cast<double>(head_width) / std::sqrt(static_cast<double>(config.width));
  base = register_parameter("base", torch::randn({3, heads, config.width, head_width}) * spread);
}

torch::Tensor DeepProjectionImpl::matrix() const {
  torch::Tensor weights = torch::matmul(left, right).div(temperature_).softmax(-1);  // [3, H, D, d]
  if (base.defined()) weights = base * weights;
  return weights.transpose(-1, -2).flatten(0, 2);
}

}  // namespace giantrabbit::model
