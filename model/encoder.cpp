// Encoder layers; see encoder.h.
#include "model/encoder.h"

namespace giantrabbit::model {

ops::SparseMask Memory::mask() const {
  ops::SparseMask mask;
  mask.key_lengths = lengths;
  return mask;
}

ops::SparseMask with_window(ops::SparseMask mask, int64_t window) {
  if (window > 0) mask.window = window;
  return mask;
}

EncoderLayerImpl::EncoderLayerImpl(const ModelConfig& config)
    : attention_norm_(register_module("attention_norm", Norm(config))),
      feed_forward_norm_(register_module("feed_forward_norm", Norm(config))),
      attention_(register_module("attention", SelfAttention(config))),
      feed_forward_(register_module("feed_forward", FeedForward(config))) {}

torch::Tensor EncoderLayerImpl::forward(torch::Tensor x, const ops::SparseMask& mask,
                                        const torch::Tensor& positions, Trace* trace,
                                        const std::string& name) {
  x = x + attention_->forward(attention_norm_->forward(x), mask, positions, trace, name + ".self");
  return x + feed_forward_->forward(feed_forward_norm_->forward(x));
}

EncoderImpl::EncoderImpl(const ModelConfig& config) : window_(config.window) {
  layers_ = register_module("layers", torch::nn::ModuleList());
  for (int64_t i = 0; i < config.encoder_layers; ++i) layers_->push_back(EncoderLayer(config));
  norm_ = register_module("norm", Norm(config));
}

Memory EncoderImpl::forward(torch::Tensor x, const torch::Tensor& lengths, Trace* trace) {
  Memory memory{{}, lengths};
  const ops::SparseMask mask = with_window(memory.mask(), window_);
  const torch::Tensor positions = torch::arange(x.size(1));
  for (size_t i = 0; i < layers_->size(); ++i) {
    x = layers_[i]->as<EncoderLayer>()->forward(x, mask, positions, trace, "encoder." + std::to_string(i));
  }
  memory.states = norm_->forward(x);
  return memory;
}

}  // namespace giantrabbit::model
