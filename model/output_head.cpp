// Output weights by configuration; see output_head.h.
#include "model/output_head.h"

#include "ops/sparsemax.h"

namespace giantrabbit::model {

torch::Tensor output_weights(const ModelConfig& config, const torch::Tensor& logits) {
  if (config.output == "sparsemax") return ops::sparsemax(logits);
  if (config.output == "entmax15") return ops::entmax15(logits);
  return logits.softmax(-1);
}

}  // namespace giantrabbit::model
