// Option names, help texts and the combinations that make no sense; see config.h.
#include "model/config.h"

#include <fmt/format.h>

namespace giantrabbit::model {

void ModelConfig::bind(OptionSet& options) {
  options.add("model.width", &width, "width of every hidden state", {1, 4096});
  options.add("model.heads", &heads, "attention heads; divides the width", {1, 256});
  options.add("model.feed_forward", &feed_forward, "hidden width of the position-wise networks", {1, 65536});
  options.add("model.encoder_layers", &encoder_layers, "layers that read the prompt", {0, 64});
  options.add("model.decoder_layers", &decoder_layers, "layers that write chain and answer", {1, 64});
  options.add("model.thought_steps", &thought_steps,
              "latent steps of the chain-of-thought module; 0 removes it", {0, 64});
  options.add("model.pause_tokens", &pause_tokens,
              "learned states that join every prompt: room to compute in without thought steps", {0, 1024});
  options.add("model.encoder", &encoder, "false: no encoder, the prompt becomes the decoder's prefix");
  options.add("model.attention", &attention, "weights of every attention",
              {"softmax", "sparsemax", "entmax15"});
  options.add(
      "model.projection", &projection,
      "matrices of self-attention's queries, keys and values: learned as they are, or computed: base * "
      "softmax(A B / temperature) (gated), softmax(A B / temperature) (strict)",
      {"plain", "gated", "strict"});
  options.add("model.projection_rank", &projection_rank, "columns of A and rows of B", {1, 4096});
  options.add("model.projection_temperature", &projection_temperature, "divides A B", {1e-6, 1e6});
  options.add("model.score_scale", &score_scale,
              "scores are multiplied by this over sqrt(head width); 0: 1 for softmax, 0.25 for sparsemax, "
              "0.5 for entmax15",
              {0, 1e6});
  options.add("model.window", &window,
              "self-attention sees positions less than this far away, ahead too outside the decoder; 0: all",
              {0, 1 << 30});
  options.add(
      "model.shared_attention", &shared_attention,
      "every second decoder layer shares queries and keys and sees earlier positions that hashing finds "
      "(lsh), or all, the last or random ones; window and random see lsh_rounds * lsh_chunk",
      {"none", "lsh", "full", "window", "random"});
  options.add("model.lsh_rounds", &lsh_rounds, "rounds of hashing", {1, 64});
  options.add("model.lsh_chunk", &lsh_chunk,
              "positions of a chunk; a query sees its own and the one before, in the order of the buckets",
              {1, 4096});
  options.add("model.lsh_buckets", &lsh_buckets,
              "buckets of a round, an even number; 0: 2 * max_positions / lsh_chunk", {0, 1 << 16});
  options.add("model.keep_fraction", &keep_fraction,
              "share of entries that embeddings and thought masks keep", {1e-6, 1});
  options.add("model.embedding_mask", &embedding_mask, "which embedding entries are kept",
              {"magnitude", "random"});
  options.add("model.mask", &mask, "mask of the thought states",
              {"none", "static", "dynamic", "random", "recency"});
  options.add("model.mask_granularity", &mask_granularity, "what the mask selects", {"feature", "token"});
  options.add("model.position", &position, "position coding",
              {"signpost", "learned", "axial", "sinusoidal", "rotary"});
  options.add("model.max_positions", &max_positions,
              "longest input where a table is by position: learned, axial and signpost positions, static "
              "token masks, "
              "random masks",
              {1, 1 << 20});
  options.add("model.number_features", &number_features,
              "add Fourier features of the value to number embeddings");
  options.add("model.output", &output, "output weights and their loss", {"softmax", "sparsemax", "entmax15"});
}

void ModelConfig::validate() const {
  if (width % heads != 0) {
    throw OptionError(fmt::format("model.heads: {} does not divide model.width {}", heads, width));
  }
  if (position == "rotary" && (width / heads) % 2 != 0) {
    throw OptionError(fmt::format("model.position: rotary needs an even head width, got {}", width / heads));
  }
  if (shared_attention != "none" && decoder_layers < 2) {
    throw OptionError("model.shared_attention: every second decoder layer, model.decoder_layers is 1");
  }
  if (shared_attention != "none" && projection != "plain") {
    throw OptionError(
        fmt::format("model.shared_attention: needs plain projections, model.projection is '{}'", projection));
  }
  if (lsh_buckets % 2 != 0) {
    throw OptionError(fmt::format("model.lsh_buckets: expected an even number, got {}", lsh_buckets));
  }
  if (encoder && encoder_layers == 0) {
    throw OptionError("model.encoder_layers: 0 layers; to remove the encoder set model.encoder = false");
  }
  if (mask == "recency" && mask_granularity != "token") {
    throw OptionError("model.mask: 'recency' selects tokens, model.mask_granularity is 'feature'");
  }
  if (mask != "none" && thought_steps == 0) {
    throw OptionError(fmt::format("model.mask: '{}' needs thought steps, model.thought_steps is 0", mask));
  }
}

}  // namespace giantrabbit::model
