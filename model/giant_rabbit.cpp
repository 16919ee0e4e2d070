// The pipeline for whole sequences and for generation; see giant_rabbit.h.
#include "model/giant_rabbit.h"

namespace giantrabbit::model {

GiantRabbitImpl::GiantRabbitImpl(ModelConfig config, const TokenTraits& traits) : config_(std::move(config)) {
  config_.validate();
  const bool with_memory = config_.encoder || config_.thought_steps > 0;
  embedding = register_module("embedding", Embedding(config_, traits));
  if (config_.encoder) encoder = register_module("encoder", Encoder(config_));
  if (config_.thought_steps > 0)
    chain_of_thought = register_module("chain_of_thought", ChainOfThought(config_));
  decoder = register_module("decoder", Decoder(config_, with_memory));
  output_head = register_module("output_head", OutputHead(config_));
  if (config_.pause_tokens > 0) {
    pause_ = register_parameter("pause", torch::randn({config_.pause_tokens, config_.width}));
  }
}

Memory GiantRabbitImpl::encode(const torch::Tensor& prompt, const torch::Tensor& prompt_lengths,
                               Trace* trace) {
  Memory vectors{embedding->prompt(prompt), prompt_lengths};
  if (pause_.defined()) {
    vectors = concatenate(vectors, {pause_.expand({prompt.size(0), -1, -1}),
                                    torch::full_like(prompt_lengths, config_.pause_tokens)});
  }
  if (encoder.is_empty()) return vectors;
  return encoder->forward(vectors.states, vectors.lengths, trace);
}

Memory GiantRabbitImpl::think(const Memory& memory, Trace* trace) {
  const bool encoded = !encoder.is_empty();
  if (chain_of_thought.is_empty()) return encoded ? memory : Memory{};
  const Memory thoughts = chain_of_thought->forward(memory, trace);
  return encoded ? concatenate(memory, thoughts) : thoughts;
}

torch::Tensor GiantRabbitImpl::forward(const Inputs& inputs, Trace* trace) {
  const Memory encoded = encode(inputs.prompt, inputs.prompt_lengths, trace);
  const Memory memory = think(encoded, trace);
  torch::Tensor hidden;
  if (config_.encoder) {
    const torch::Tensor first = torch::zeros({1, 1}, torch::kInt64);
    hidden = decoder->forward(embedding->decoder(inputs.decoder_input, first), memory, trace);
  } else {
    // The prompt is the decoder's prefix: [prompt, tokens] per sequence, hidden states of the tokens only.
    const torch::Tensor first = encoded.lengths.unsqueeze(1);
    const int64_t tokens = inputs.decoder_input.size(1);
    const Memory written{embedding->decoder(inputs.decoder_input, first),
                         torch::full_like(inputs.prompt_lengths, tokens)};
    const torch::Tensor all = decoder->forward(concatenate(encoded, written).states, memory, trace);
    const torch::Tensor index = first + torch::arange(tokens);
    hidden = all.gather(1, index.unsqueeze(-1).expand({-1, -1, all.size(2)}));
  }
  return output_head->forward(hidden, embedding->table());
}

Generation GiantRabbitImpl::start(const torch::Tensor& prompt, const torch::Tensor& prompt_lengths,
                                  Trace* trace) {
  const Memory encoded = encode(prompt, prompt_lengths, trace);
  return start(encoded, think(encoded, trace), trace);
}

Generation GiantRabbitImpl::start(const Memory& encoded, const Memory& memory, Trace* trace) {
  Generation generation;
  const torch::Tensor prefix = config_.encoder ? encoded.states.narrow(1, 0, 0) : encoded.states;
  generation.lengths = config_.encoder ? torch::zeros_like(encoded.lengths) : encoded.lengths;
  generation.layers = decoder->start(prefix, generation.lengths, memory, trace);
  generation.tokens = torch::empty({encoded.states.size(0), 0}, torch::kInt64);
  return generation;
}

torch::Tensor GiantRabbitImpl::step(Generation& generation, const torch::Tensor& token, Trace* trace) {
  const torch::Tensor first = (generation.lengths - generation.tokens.size(1)).unsqueeze(1);
  generation.tokens = torch::cat({generation.tokens, token.unsqueeze(1)}, 1);
  const torch::Tensor x = embedding->decoder_last(generation.tokens, first);
  const torch::Tensor hidden = decoder->step(x, generation.layers, generation.lengths, trace);
  generation.lengths = generation.lengths + 1;
  return output_head->forward(hidden.squeeze(1), embedding->table());
}

void GiantRabbitImpl::keep_rows(Generation& generation, const torch::Tensor& rows) {
  generation.tokens = generation.tokens.index_select(0, rows);
  generation.lengths = generation.lengths.index_select(0, rows);
  for (LayerCache& layer : generation.layers) layer.keep(rows);
}

std::vector<GiantRabbitImpl::HiddenMatrix> GiantRabbitImpl::hidden_matrices() const {
  std::vector<HiddenMatrix> matrices;
  for (const auto& item : named_parameters()) {
    const std::string& name = item.key();
    const bool table = name.starts_with("embedding.") || name == "pause";
    if (table || item.value().dim() != 2) continue;
    const int64_t parts = name.ends_with(".qkv")                                           ? 3
                          : name.ends_with(".key_value") || name.ends_with(".query_value") ? 2
                                                                                           : 1;
    matrices.push_back({item.value(), parts});
  }
  return matrices;
}

int64_t GiantRabbitImpl::parameter_count() const {
  int64_t count = 0;
  for (const torch::Tensor& parameter : parameters()) count += parameter.numel();
  return count;
}

// Matrices of the layers, and tables by position.
int64_t least_entries(const ModelConfig& config, int64_t words) {
  const int64_t width = config.width;
  const int64_t layers = config.decoder_layers + (config.encoder ? config.encoder_layers : 0) +
                         (config.thought_steps > 0 ? 1 : 0);
  const int64_t attention = config.projection == "plain"
                                ? 3 * width * width
                                : width * width + 3 * config.heads * width * config.projection_rank;
  int64_t entries =
      words * width + layers * (2 * width * config.feed_forward + attention) + config.pause_tokens * width;
  if (config.position == "signpost" || config.position == "learned") entries += config.max_positions * width;
  if (config.position == "learned" && config.encoder) entries += config.max_positions * width;
  if (config.position == "axial") entries += config.max_positions / axial_columns * width;
  const bool tokens = config.mask_granularity == "token";
  if (config.mask == "static" && tokens) entries += config.max_positions;
  if (config.mask == "random") entries += config.thought_steps * config.max_positions * (tokens ? 1 : width);
  return entries;
}

}  // namespace giantrabbit::model
