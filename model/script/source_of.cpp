// See source_of.h.
#include "model/script/source_of.h"

#include "model/giant_rabbit.h"
#include "model/script/sources.h"

namespace giantrabbit::model::script {
namespace {

template <typename Module>
bool is(const torch::nn::Module& module) {
  return module.as<Module>() != nullptr;
}

}  // namespace

std::string source_of(const torch::nn::Module& module, const ModelConfig& config) {
  if (is<ChainOfThought>(module)) return chain_of_thought;
  if (is<CrossAttention>(module)) return cross_attention;
  if (is<Decoder>(module)) return decoder(config.decoder_layers);
  if (is<DecoderLayer>(module)) return decoder_layer;
  if (is<DeepProjection>(module)) return deep_projection;
  if (is<Embedding>(module)) return embedding;
  if (is<Encoder>(module)) return encoder(config.encoder_layers);
  if (is<EncoderLayer>(module)) return encoder_layer;
  if (is<FeedForward>(module)) return feed_forward;
  if (is<GiantRabbit>(module)) return giant_rabbit;
  if (is<Norm>(module)) return norm;
  if (is<OutputHead>(module)) return output_head;
  if (is<SelfAttention>(module)) return self_attention;
  if (is<SharedAttention>(module)) return shared_attention;
  if (is<Signpost>(module)) return signpost;
  if (is<ThoughtStep>(module)) return thought_step;
  TORCH_CHECK(is<torch::nn::ModuleList>(module), "export: no script for modules of type ", module.name());
  return "";
}

}  // namespace giantrabbit::model::script
