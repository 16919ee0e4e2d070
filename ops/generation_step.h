// What a generation step does between its matrix products, on plain memory: layer norm, and attention of one
// query per sequence to a key/value cache. The same functions as their tensor forms (at::layer_norm,
// ops/cached_attention.h) without what a tensor costs. Rows are whole vectors, one per sequence. Not
// differentiable; the caller's sizes are not checked.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "ops/cached_attention.h"

namespace giantrabbit::ops {

// Gain and offset of a layer norm, copied.
class LayerNorm {
 public:
  LayerNorm() = default;
  LayerNorm(const at::Tensor& gain, const at::Tensor& offset);
  // `rows` rows, one behind the other.
  void apply(const float* input, int64_t rows, float* output) const;

 private:
  std::vector<float> gain_, offset_;
};

// Heads of one token per sequence: head h of sequence b is at data + b * step + h * (head width).
struct TokenQueries {
  const float* query;
  int64_t query_step;
  int64_t heads;
  float* output;
  int64_t output_step;
};

void attend_token(const TokenQueries& rows, const KeyValueCache& cache, Normalizer normalizer, double scale,
                  std::optional<int64_t> window, CachedAttentionCounters& counters);

}  // namespace giantrabbit::ops
