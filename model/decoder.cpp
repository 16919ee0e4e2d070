// Decoder layers for whole sequences and for generation; see decoder.h.
#include "model/decoder.h"

namespace giantrabbit::model {

void LayerCache::keep(const torch::Tensor& rows) {
  for (ops::KeyValueCache* cache : {&self, &shared.earlier, &cross}) {
    if (cache->sizes().batch > 0) cache->keep(rows);
  }
  if (shared.hashed.batch() > 0) shared.hashed.keep(rows);
}

DecoderLayerImpl::DecoderLayerImpl(const ModelConfig& config, int64_t index, bool with_memory)
    : self_norm_(register_module("self_norm", Norm(config))),
      feed_forward_norm_(register_module("feed_forward_norm", Norm(config))),
      feed_forward_(register_module("feed_forward", FeedForward(config))) {
  if (is_shared_layer(config, index)) {
    shared_attention = register_module("shared_attention", SharedAttention(config, index));
  } else {
    self_attention = register_module("self_attention", SelfAttention(config));
  }
  if (with_memory) {
    cross_attention = register_module("cross_attention", CrossAttention(config));
    cross_norm_ = register_module("cross_norm", Norm(config));
  }
}

template <typename AttendSelf, typename AttendMemory>
torch::Tensor DecoderLayerImpl::block(torch::Tensor x, AttendSelf attend_self, AttendMemory attend_memory) {
  x = x + attend_self(self_norm_->forward(x));
  if (!cross_attention.is_empty()) x = x + attend_memory(cross_norm_->forward(x));
  return x + feed_forward_->forward(feed_forward_norm_->forward(x));
}

DecoderImpl::DecoderImpl(const ModelConfig& config, bool with_memory) : window_(config.window) {
  layers_ = register_module("layers", torch::nn::ModuleList());
  for (int64_t i = 0; i < config.decoder_layers; ++i)
    layers_->push_back(DecoderLayer(config, i, with_memory));
}

torch::Tensor DecoderImpl::forward(torch::Tensor x, const Memory& memory, Trace* trace) {
  ops::SparseMask causal;
  causal.causal = true;
  causal = with_window(causal, window_);
  const ops::SparseMask memory_mask = memory.mask();
  const torch::Tensor positions = torch::arange(x.size(1));
  for (size_t i = 0; i < layers_->size(); ++i) {
    auto& layer = *layers_[i]->as<DecoderLayer>();
    const std::string name = "decoder." + std::to_string(i);
    x = layer.block(
        x,
        [&](const torch::Tensor& normed) {
          if (!layer.shared_attention.is_empty())
            return layer.shared_attention->forward(normed, trace, name + ".self");
          return layer.self_attention->forward(normed, causal, positions, trace, name + ".self");
        },
        [&](const torch::Tensor& normed) {
          return layer.cross_attention->forward(normed, memory.states, memory_mask, trace, name + ".cross");
        });
  }
  return x;
}

std::vector<LayerCache> DecoderImpl::start(torch::Tensor prefix, const torch::Tensor& lengths,
                                           const Memory& memory, Trace* trace) {
  ops::SparseMask causal;
  causal.causal = true;
  causal = with_window(causal, window_);
  const ops::SparseMask memory_mask = memory.mask();
  const torch::Tensor positions = torch::arange(prefix.size(1));
  std::vector<LayerCache> caches(layers_->size());
  for (size_t i = 0; i < caches.size(); ++i) {
    auto& layer = *layers_[i]->as<DecoderLayer>();
    const std::string name = "decoder." + std::to_string(i);
    prefix = layer.block(
        prefix,
        [&](const torch::Tensor& normed) {
          if (!layer.shared_attention.is_empty())
            return layer.shared_attention->fill(normed, lengths, caches[i].shared);
          return layer.self_attention->fill(normed, lengths, caches[i].self, causal, positions, trace,
                                            name + ".self");
        },
        [&](const torch::Tensor& normed) {
          return layer.cross_attention->fill(normed, memory.states, memory.lengths, caches[i].cross,
                                             memory_mask, trace, name + ".cross");
        });
  }
  return caches;
}

torch::Tensor DecoderImpl::step(torch::Tensor x, std::vector<LayerCache>& layers,
                                const torch::Tensor& lengths, Trace* trace) {
  for (size_t i = 0; i < layers.size(); ++i) {
    auto& layer = *layers_[i]->as<DecoderLayer>();
    const std::string name = "decoder." + std::to_string(i);
    x = layer.block(
        x,
        [&](const torch::Tensor& normed) {
          if (!layer.shared_attention.is_empty()) {
            TORCH_CHECK(trace == nullptr,
                        "decoder: steps of layers that share queries and keys have no trace");
            return layer.shared_attention->step(normed, layers[i].shared);
          }
          return layer.self_attention->step(normed, lengths, layers[i].self, window_, trace, name + ".self");
        },
        [&](const torch::Tensor& normed) {
          return layer.cross_attention->step(normed, layers[i].cross, trace, name + ".cross");
        });
  }
  return x;
}

}  // namespace giantrabbit::model
