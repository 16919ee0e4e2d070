// Multi-head self- and cross-attention around an AttentionCore: projections, heads, key/value caches, rotary
// positions. No biases. The output projection starts at zero, so that every residual branch starts as the
// identity.
#pragma once

#include <string>

#include <torch/torch.h>

#include "model/attention_core.h"
#include "model/config.h"
#include "model/deep_projection.h"
#include "model/trace.h"
#include "ops/key_value_cache.h"
#include "ops/sparse_mask.h"

namespace giantrabbit::model {

// Rotary positions turn entries k and k + d/2 of a query or key by angle k: [.., d/2] for positions [..].
torch::Tensor rotary_angles(const torch::Tensor& positions, int64_t head_width);

class SelfAttentionImpl : public torch::nn::Module {
 public:
  explicit SelfAttentionImpl(const ModelConfig& config);
  // x [B, M, D], positions [M] (used by rotary coding only) -> [B, M, D].
  torch::Tensor forward(const torch::Tensor& x, const ops::SparseMask& mask, const torch::Tensor& positions,
                        Trace* trace, const std::string& name);
  // Attends as forward() does and starts the cache with the first lengths[b] positions of every sequence.
  torch::Tensor fill(const torch::Tensor& x, const torch::Tensor& lengths, ops::KeyValueCache& cache,
                     const ops::SparseMask& mask, const torch::Tensor& positions, Trace* trace,
                     const std::string& name);
  // One token per sequence: x [B, 1, D] joins the cache and sees it, its last `window` tokens only if that is
  // not 0. lengths [B] = tokens in the cache before.
  torch::Tensor step(const torch::Tensor& x, const torch::Tensor& lengths, ops::KeyValueCache& cache,
                     int64_t window, Trace* trace, const std::string& name);
  torch::Tensor received_mass(const torch::Tensor& x, const ops::SparseMask& mask,
                              const torch::Tensor& positions);

  // The matrix that makes queries, keys and values, [3 D, D]: a parameter or computed from smaller ones.
  torch::Tensor projection() const;

  torch::Tensor qkv;                 // [3 D, D]; undefined with a deep projection
  DeepProjection deep_qkv{nullptr};  // empty without one
  torch::Tensor out;                 // [D, D]

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
  // The same, and keeps the keys and values of the first lengths[b] states of every sequence.
  torch::Tensor fill(const torch::Tensor& x, const torch::Tensor& memory, const torch::Tensor& lengths,
                     ops::KeyValueCache& cache, const ops::SparseMask& mask, Trace* trace,
                     const std::string& name);
  // One token per sequence, x [B, 1, D], attends to the memory that fill() kept.
  torch::Tensor step(const torch::Tensor& x, const ops::KeyValueCache& cache, Trace* trace,
                     const std::string& name);

  torch::Tensor query;      // [D, D]
  torch::Tensor key_value;  // [2 D, D]
  torch::Tensor out;        // [D, D]

 private:
  torch::Tensor queries(const torch::Tensor& x) const;
  torch::Tensor merge(const torch::Tensor& heads) const;
  int64_t heads_;
  AttentionCore core_;
};
TORCH_MODULE(CrossAttention);

}  // namespace giantrabbit::model
