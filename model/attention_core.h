// The one place that knows which weights an attention uses: softmax, sparsemax or entmax-1.5, and their score
// scale. Everything else in the model is the same for all variants.
#pragma once

#include <string>

#include <torch/torch.h>

#include "model/config.h"
#include "model/trace.h"
#include "ops/generation_step.h"
#include "ops/key_value_cache.h"
#include "ops/sparse_mask.h"

namespace giantrabbit::model {

class AttentionCore {
 public:
  explicit AttentionCore(const ModelConfig& config);

  // query [B, H, M, d], key and value [B, H, N, d] -> [B, H, M, d]. With a trace the support is recorded
  // under `name`.
  torch::Tensor attend(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& value,
                       const ops::SparseMask& mask, Trace* trace, const std::string& name) const;
  // The same over keys and values that a cache holds; a query sees the last `window` keys only if that is not
  // 0. Not differentiable.
  torch::Tensor attend(const torch::Tensor& query, const ops::KeyValueCache& cache, int64_t window,
                       Trace* trace, const std::string& name) const;
  // The same for one query per sequence in plain memory.
  void attend(const ops::TokenQueries& rows, const ops::KeyValueCache& cache, int64_t window,
              ops::CachedAttentionCounters& counters) const;
  // A cache with the first lengths[b] keys and values of every sequence, [B, H, N, d].
  ops::KeyValueCache cache_of(const torch::Tensor& key, const torch::Tensor& value,
                              const torch::Tensor& lengths) const;
  // Attention mass that every key receives, summed over heads and queries: [B, N]. Not differentiable. For
  // self-attention: queries behind key_lengths are padding and give nothing.
  torch::Tensor received_mass(const torch::Tensor& query, const torch::Tensor& key,
                              const ops::SparseMask& mask) const;
  // Sparse normalisers start with zero queries: all scores equal, so no key is cut off before it had a
  // gradient.
  bool starts_with_zero_queries() const { return normalizer_ != ops::Normalizer::softmax; }

  ops::Normalizer normalizer() const { return normalizer_; }
  double scale() const { return scale_; }  // factor of the scores

 private:
  ops::Normalizer normalizer_;
  double scale_;
};

}  // namespace giantrabbit::model
