// Decoding with a cache that forgets: behind every written step each decoder layer keeps only a share of the
// tokens its self-attention still holds, and later tokens never see the others again. The mask M_t of the
// thought states, applied to the written chain.
#pragma once

#include <cstdint>
#include <string_view>

#include "data/problem.h"
#include "data/vocabulary.h"
#include "model/giant_rabbit.h"

namespace giantrabbit::eval {

// Which tokens stay: those that received most attention (summed over heads and tokens since they came), the
// last ones, or a random choice.
enum class EvictionRule { attention, recency, random };
inline constexpr EvictionRule eviction_rules[] = {EvictionRule::attention, EvictionRule::recency,
                                                  EvictionRule::random};
std::string_view eviction_rule_name(EvictionRule rule);

struct Eviction {
  EvictionRule rule = EvictionRule::attention;
  double keep_fraction = 1;  // a: ceil(a n) of n tokens stay, 0 < a <= 1
  uint64_t seed = 1;         // of the random rule
};

struct EvictedOutput {
  data::Words words;
  double keys_held = 0;     // mean over tokens and layers
  double keys_written = 0;  // the same without eviction
};

// Greedy, one problem; `limit`: most words, also bounded by the model's positions. Throws
// std::invalid_argument for a model with a window, whose forgetting is another one.
EvictedOutput decode_evicting(model::GiantRabbit& network, const data::Vocabulary& vocabulary,
                              const data::Words& prompt, int64_t limit, const Eviction& eviction);

}  // namespace giantrabbit::eval
