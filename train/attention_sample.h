// What a model attends to on one item, for the log: the density of every attention and a picture of the last
// one.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "model/giant_rabbit.h"

namespace giantrabbit::train {

// Longer items are not sampled: recording takes time and memory by the square of the length.
inline constexpr size_t sampled_words = 512;

struct AttentionSample {
  // "decoder.0.self" and so on: keys with a weight / visible keys, the mean over queries and heads; empty for
  // an item that is too long.
  std::vector<std::pair<std::string, double>> densities;
  std::string name;  // of the picture's attention: the decoder's last self-attention
  torch::Tensor
      picture;  // [queries, keys], 0 .. 1, bright = no weight; the mean over heads, sqrt for contrast
};

// `example`'s target is forced through the network, in evaluation mode.
AttentionSample sample_attention(model::GiantRabbit& network, const data::Example& example);

}  // namespace giantrabbit::train
