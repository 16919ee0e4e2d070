// Decoder: vectors of the tokens written so far [B, U, D] -> hidden states [B, U, D]. Pre-norm layers of
// masked self-attention, cross-attention to memory and thoughts (when there are any) and feed-forward.
#pragma once

#include <string>
#include <vector>

#include <torch/torch.h>

#include "model/attention.h"
#include "model/config.h"
#include "model/encoder.h"
#include "model/feed_forward.h"
#include "model/shared_attention.h"

namespace giantrabbit::model {

// What one decoder layer remembers during generation.
struct LayerCache {
  ops::KeyValueCache self;   // the tokens so far
  SharedCache shared;        // the same of a layer with shared queries and keys
  ops::KeyValueCache cross;  // the memory; empty without one

  // Keeps the sequences `rows` [K], int64, in this order.
  void keep(const torch::Tensor& rows);
};

class DecoderLayerImpl : public torch::nn::Module {
 public:
  DecoderLayerImpl(const ModelConfig& config, int64_t index, bool with_memory);
  // x [B, M, D] through the block. attend_self and attend_memory (not called without memory) run the
  // attentions, so that whole sequences, cache filling and single steps share the block.
  template <typename AttendSelf, typename AttendMemory>
  torch::Tensor block(torch::Tensor x, AttendSelf attend_self, AttendMemory attend_memory);

  SelfAttention self_attention{nullptr};      // empty where queries and keys are shared
  SharedAttention shared_attention{nullptr};  // empty elsewhere
  CrossAttention cross_attention{nullptr};    // empty without memory

 private:
  Norm self_norm_{nullptr}, cross_norm_{nullptr}, feed_forward_norm_{nullptr};
  FeedForward feed_forward_{nullptr};
};
TORCH_MODULE(DecoderLayer);

class DecoderImpl : public torch::nn::Module {
 public:
  // with_memory: whether there is an encoder or a chain of thought to attend to.
  DecoderImpl(const ModelConfig& config, bool with_memory);

  // memory.states is undefined without memory.
  torch::Tensor forward(torch::Tensor x, const Memory& memory, Trace* trace);
  // Caches for generation: the memory, and the first lengths[b] positions of `prefix` [B, P, D] (P = 0
  // allowed).
  std::vector<LayerCache> start(torch::Tensor prefix, const torch::Tensor& lengths, const Memory& memory,
                                Trace* trace);
  // x [B, 1, D], lengths [B] = tokens in the caches before this one.
  torch::Tensor step(torch::Tensor x, std::vector<LayerCache>& layers, const torch::Tensor& lengths,
                     Trace* trace);

 private:
  int64_t window_;
  torch::nn::ModuleList layers_;
};
TORCH_MODULE(Decoder);

}  // namespace giantrabbit::model
