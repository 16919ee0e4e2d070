// What a trained model asks and offers in its decoder's self-attention on a long chain. In, a run directory;
// out, queries, keys and values of every layer while the longest of the first chains of the run's test split
// is forced through the network. Queries are multiplied so that the operator's default scale gives the
// model's own scores. Throws std::runtime_error as load_run() does.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "ops/normalizer.h"

namespace giantrabbit::bench {

struct TrainedHeads {
  std::string attention;  // "decoder.0.self"
  ops::Normalizer normalizer;
  std::vector<at::Tensor> query_key_value;  // [1, H, N, d] each
};

std::vector<TrainedHeads> trained_heads(const std::string& run);

}  // namespace giantrabbit::bench
