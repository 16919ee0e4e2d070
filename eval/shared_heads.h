// What the decoder layers with shared queries and keys work on (model/shared_attention.h) while a known
// output is forced through a network.
#pragma once

#include <string>
#include <vector>

#include "data/problem.h"
#include "data/vocabulary.h"
#include "model/giant_rabbit.h"

namespace giantrabbit::eval {

struct SharedLayer {
  std::string name;  // of the module: "decoder.layers.1.shared_attention"
  model::SharedAttention attention{nullptr};
};

// In the order of the layers; none in a model without shared queries and keys.
std::vector<SharedLayer> shared_layers(const model::GiantRabbit& network);

// Of every shared layer, [1, H, M, d] each.
std::vector<model::SharedAttentionImpl::Heads> shared_heads(model::GiantRabbit& network,
                                                            const data::Vocabulary& vocabulary,
                                                            const data::Words& prompt,
                                                            const data::Words& output);

}  // namespace giantrabbit::eval
