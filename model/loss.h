// The loss that belongs to the output weights: cross-entropy, sparsemax loss or the entmax-1.5 loss, averaged
// over the tokens that are not padding. logits [B, U, V], target [B, U] -> scalar.
#pragma once

#include <torch/torch.h>

#include "model/config.h"

namespace giantrabbit::model {

torch::Tensor sequence_loss(const ModelConfig& config, const torch::Tensor& logits,
                            const torch::Tensor& target, int64_t pad);

}  // namespace giantrabbit::model
