// Multi-head self- and cross-attention around an AttentionCore: projections, heads, key/value cache, rotary
// positions. No biases. The output projection starts at zero, so that every residual branch starts as the
// identity.
#pragma once

#include <string>

#include <torch/torch.h>

#include "model/attention_core.h"
#include "model/config.h"
#include "model/trace.h"
#include "ops/sparse_mask.h"

namespace giantrabbit::model {

// What one decoder layer remembers during generation. Slots behind a sequence's length are undefined.
struct LayerCache {
  torch::Tensor self_key, self_value;    // [B, H, capacity, d]
  torch::Tensor cross_key, cross_value;  // [B, H, K, d], undefined without memory
};

class SelfAttentionImpl : public torch::nn::Module {
 public:
  explicit SelfAttentionImpl(const ModelConfig& config);
  // x [B, M, D], positions [M] (used by rotary coding only) -> [B, M, D].
  torch::Tensor forward(const torch::Tensor& x, const ops::SparseMask& mask, const torch::Tensor& positions,
                        Trace* trace, const std::string& name);
  // One token per sequence: x [B, 1, D], written to slot lengths[b] of the cache; sees slots 0 .. lengths[b].
  torch::Tensor step(const torch::Tensor& x, LayerCache& cache, const torch::Tensor& lengths,
                     const ops::SparseMask& mask, Trace* trace, const std::string& name);
  // Fills cache slots 0 .. M-1 from x and attends, as forward() does.
  torch::Tensor fill(const torch::Tensor& x, LayerCache& cache, const ops::SparseMask& mask,
                     const torch::Tensor& positions, Trace* trace, const std::string& name);
  torch::Tensor received_mass(const torch::Tensor& x, const ops::SparseMask& mask,
                              const torch::Tensor& positions);

  torch::Tensor qkv;  // [3 D, D]
  torch::Tensor out;  // [D, D]

 private:
  struct Heads {
    torch::Tensor query, key, value;  // [B, H, M, d]
  };
  Heads project(const torch::Tensor& x, const torch::Tensor& positions) const;
  torch::Tensor merge(const torch::Tensor& heads) const;
  int64_t heads_;
  bool rotary_;
  AttentionCore core_;
};
TORCH_MODULE(SelfAttention);

class CrossAttentionImpl : public torch::nn::Module {
 public:
  explicit CrossAttentionImpl(const ModelConfig& config);
  // x [B, M, D] attends to memory [B, K, D].
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& memory, const ops::SparseMask& mask,
                        Trace* trace, const std::string& name);
  void fill(const torch::Tensor& memory, LayerCache& cache) const;
  torch::Tensor step(const torch::Tensor& x, const LayerCache& cache, const ops::SparseMask& mask,
                     Trace* trace, const std::string& name);

  torch::Tensor query;      // [D, D]
  torch::Tensor key_value;  // [2 D, D]
  torch::Tensor out;        // [D, D]

 private:
  int64_t heads_;
  AttentionCore core_;
};
TORCH_MODULE(CrossAttention);

}  // namespace giantrabbit::model
