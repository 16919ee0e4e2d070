// Latent reasoning: R_0 = memory, then for t = 0 .. T-1: Rs_t = R_t * M_t, R_{t+1} = Step(Rs_t, memory) with
// one weight-shared block (self-attention over the state, cross-attention to the memory, feed-forward).
//
// Mask M_t, a = keep fraction. Features: per token the ceil(a D) entries of largest magnitude (dynamic), one
// fixed random choice (static), or one for every step and position (random). Tokens: per sequence the
// ceil(a n) tokens that received most attention in the step before (dynamic), that come last (recency), or
// that a fixed random order of positions prefers: one order, used before the first step only (static), or one
// per step (random). Dropped tokens leave the state and are never visited again. M_0 keeps everything when it
// depends on attention, since nothing has been attended to yet; random and recency, the controls of dynamic,
// keep the same number of tokens in every step.
#pragma once

#include <torch/torch.h>

#include "model/attention.h"
#include "model/config.h"
#include "model/encoder.h"
#include "model/feed_forward.h"

namespace giantrabbit::model {

class ThoughtStepImpl : public torch::nn::Module {
 public:
  explicit ThoughtStepImpl(const ModelConfig& config);
  torch::Tensor forward(const Memory& state, const Memory& memory, const torch::Tensor& positions,
                        Trace* trace, const std::string& name);
  // Attention each token of `state` receives in this step's self-attention, [B, N_t].
  torch::Tensor received_mass(const Memory& state, const torch::Tensor& positions);

 private:
  ops::SparseMask self_mask(const Memory& state) const;
  int64_t window_;
  Norm self_norm_{nullptr}, cross_norm_{nullptr}, feed_forward_norm_{nullptr};
  SelfAttention self_attention_{nullptr};
  CrossAttention cross_attention_{nullptr};
  FeedForward feed_forward_{nullptr};
};
TORCH_MODULE(ThoughtStep);

class ChainOfThoughtImpl : public torch::nn::Module {
 public:
  explicit ChainOfThoughtImpl(const ModelConfig& config);
  // The final thoughts R_T, normalised; lengths shrink when tokens are dropped.
  Memory forward(const Memory& memory, Trace* trace);

 private:
  Memory mask_features(const Memory& state, int64_t t, Trace* trace) const;
  // What features or tokens are worth by chance, [.., positions, ..]: its first N rows.
  torch::Tensor of_positions(const torch::Tensor& table, int64_t tokens) const;
  // `mass` received in step t - 1.
  Memory mask_tokens(const Memory& state, int64_t t, const torch::Tensor& mass, Trace* trace) const;
  Memory drop_tokens(const Memory& state, const torch::Tensor& mass, Trace* trace) const;
  int64_t steps_;
  double keep_fraction_;
  std::string mask_, granularity_;
  torch::Tensor static_features_;    // [D] 0/1
  torch::Tensor static_importance_;  // [max_positions] random numbers, fixed before training
  torch::Tensor random_features_;    // [T, max_positions, D] 0/1
  torch::Tensor random_importance_;  // [T, max_positions]
  ThoughtStep step_{nullptr};
  Norm norm_{nullptr};
};
TORCH_MODULE(ChainOfThought);

// Valid states of `first` followed by valid states of `second`, per sequence, padding behind.
Memory concatenate(const Memory& first, const Memory& second);

}  // namespace giantrabbit::model
