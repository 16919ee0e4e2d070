// Decoder layers for whole sequences and for generation; see decoder.h.
#include "model/decoder.h"

namespace giantrabbit::model {

DecoderLayerImpl::DecoderLayerImpl(const ModelConfig& config, bool with_memory)
    : self_attention(register_module("self_attention", SelfAttention(config))),
      self_norm_(register_module("self_norm", Norm(config))),
      feed_forward_norm_(register_module("feed_forward_norm", Norm(config))),
      feed_forward_(register_module("feed_forward", FeedForward(config))) {
  if (with_memory) {
    cross_attention = register_module("cross_attention", CrossAttention(config));
    cross_norm_ = register_module("cross_norm", Norm(config));
  }
}

template <typename Attend>
torch::Tensor DecoderLayerImpl::block(torch::Tensor x, const LayerCache& cache,
                                      const ops::SparseMask& memory_mask, Trace* trace,
                                      const std::string& name, Attend attend) {
  x = x + attend(self_norm_->forward(x), name + ".self");
  if (!cross_attention.is_empty()) {
    x = x + cross_attention->step(cross_norm_->forward(x), cache, memory_mask, trace, name + ".cross");
  }
  return x + feed_forward_->forward(feed_forward_norm_->forward(x));
}

DecoderImpl::DecoderImpl(const ModelConfig& config, bool with_memory) : window_(config.window) {
  layers_ = register_module("layers", torch::nn::ModuleList());
  for (int64_t i = 0; i < config.decoder_layers; ++i) layers_->push_back(DecoderLayer(config, with_memory));
}

torch::Tensor DecoderImpl::forward(torch::Tensor x, const Memory& memory, Trace* trace) {
  ops::SparseMask causal;
  causal.causal = true;
  causal = with_window(causal, window_);
  const ops::SparseMask memory_mask = memory.mask();
  const torch::Tensor positions = torch::arange(x.size(1));
  for (size_t i = 0; i < layers_->size(); ++i) {
    auto& layer = *layers_[i]->as<DecoderLayer>();
    LayerCache cache;
    if (!layer.cross_attention.is_empty()) layer.cross_attention->fill(memory.states, cache);
    x = layer.block(x, cache, memory_mask, trace, "decoder." + std::to_string(i),
                    [&](const torch::Tensor& normed, const std::string& name) {
                      return layer.self_attention->forward(normed, causal, positions, trace, name);
                    });
  }
  return x;
}

std::vector<LayerCache> DecoderImpl::start(torch::Tensor prefix, const Memory& memory, Trace* trace) {
  ops::SparseMask causal;
  causal.causal = true;
  causal = with_window(causal, window_);
  const ops::SparseMask memory_mask = memory.mask();
  const torch::Tensor positions = torch::arange(prefix.size(1));
  std::vector<LayerCache> caches(layers_->size());
  for (size_t i = 0; i < caches.size(); ++i) {
    auto& layer = *layers_[i]->as<DecoderLayer>();
    if (!layer.cross_attention.is_empty()) layer.cross_attention->fill(memory.states, caches[i]);
    prefix =
        layer.block(prefix, caches[i], memory_mask, trace, "decoder." + std::to_string(i),
                    [&](const torch::Tensor& normed, const std::string& name) {
                      return layer.self_attention->fill(normed, caches[i], causal, positions, trace, name);
                    });
  }
  return caches;
}

ops::SparseMask DecoderImpl::step_mask(const torch::Tensor& lengths) const {
  ops::SparseMask mask;
  const torch::Tensor visible = lengths + 1;
  const int64_t longest = visible.max().item<int64_t>();
  const bool ragged = visible.min().item<int64_t>() != longest;
  if (ragged && window_ > 0) {
    // SparseMask aligns a window to the end of all keys; sequences of different lengths need their own lists.
    const torch::Tensor slot = torch::arange(longest).unsqueeze(0);
    const torch::Tensor end = visible.unsqueeze(1);
    const torch::Tensor permitted = slot.lt(end).logical_and(slot.ge(end - window_));
    return ops::SparseMask::from_dense(permitted.unsqueeze(1));
  }
  if (ragged) mask.key_lengths = visible;
  return with_window(mask, window_);
}

torch::Tensor DecoderImpl::step(torch::Tensor x, const Memory& memory, std::vector<LayerCache>& layers,
                                const torch::Tensor& lengths, Trace* trace) {
  const ops::SparseMask self_mask = step_mask(lengths);
  const ops::SparseMask memory_mask = memory.mask();
  for (size_t i = 0; i < layers.size(); ++i) {
    auto& layer = *layers_[i]->as<DecoderLayer>();
    x = layer.block(x, layers[i], memory_mask, trace, "decoder." + std::to_string(i),
                    [&](const torch::Tensor& normed, const std::string& name) {
                      return layer.self_attention->step(normed, layers[i], lengths, self_mask, trace, name);
                    });
  }
  return x;
}

}  // namespace giantrabbit::model
