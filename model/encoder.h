// Encoder: prompt vectors [B, N, D] -> memory. Pre-norm layers of self-attention and feed-forward.
#pragma once

#include <string>

#include <torch/torch.h>

#include "model/attention.h"
#include "model/config.h"
#include "model/feed_forward.h"

namespace giantrabbit::model {

// States that later blocks attend to: keys behind a sequence's length are padding and never visible.
struct Memory {
  torch::Tensor states;   // [B, K, D]
  torch::Tensor lengths;  // [B] int64
  // The mask of an attention whose keys are these states.
  ops::SparseMask mask() const;
};

class EncoderLayerImpl : public torch::nn::Module {
 public:
  explicit EncoderLayerImpl(const ModelConfig& config);
  torch::Tensor forward(torch::Tensor x, const ops::SparseMask& mask, const torch::Tensor& positions,
                        Trace* trace, const std::string& name);

 private:
  Norm attention_norm_{nullptr}, feed_forward_norm_{nullptr};
  SelfAttention attention_{nullptr};
  FeedForward feed_forward_{nullptr};
};
TORCH_MODULE(EncoderLayer);

class EncoderImpl : public torch::nn::Module {
 public:
  explicit EncoderImpl(const ModelConfig& config);
  // x [B, N, D], lengths [B].
  Memory forward(torch::Tensor x, const torch::Tensor& lengths, Trace* trace);

 private:
  int64_t window_;
  torch::nn::ModuleList layers_;
  Norm norm_{nullptr};
};
TORCH_MODULE(Encoder);

// Adds the configured window to a self-attention mask.
ops::SparseMask with_window(ops::SparseMask mask, int64_t window);

}  // namespace giantrabbit::model
