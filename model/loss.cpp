// Loss by configuration; see loss.h.
#include "model/loss.h"

#include "ops/sparsemax_loss.h"

namespace giantrabbit::model {

torch::Tensor sequence_loss(const ModelConfig& config, const torch::Tensor& logits,
                            const torch::Tensor& target, int64_t pad) {
  const torch::Tensor rows = logits.flatten(0, -2);
  const torch::Tensor labels = target.flatten();
  if (config.output == "softmax") {
    return torch::cross_entropy_loss(rows, labels, {}, torch::Reduction::Mean, pad);
  }
  const torch::Tensor counts = labels.ne(pad);
  const torch::Tensor ignored = labels.masked_fill(counts.logical_not(), -100);
  const torch::Tensor losses =
      config.output == "sparsemax" ? ops::sparsemax_loss(rows, ignored) : ops::entmax15_loss(rows, ignored);
  return losses.sum() / counts.sum();
}

}  // namespace giantrabbit::model
