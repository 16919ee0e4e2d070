// The whole model: tokens -> embedding -> encoder -> chain_of_thought -> decoder -> output_head.
//
// Training and scoring use forward(); generation uses start() and step(), which give the same logits position
// by position from a key/value cache.
#pragma once

#include <vector>

#include <torch/torch.h>

#include "model/chain_of_thought.h"
#include "model/config.h"
#include "model/decoder.h"
#include "model/embedding.h"
#include "model/encoder.h"
#include "model/output_head.h"
#include "model/trace.h"

namespace giantrabbit::model {

struct Inputs {
  torch::Tensor prompt;          // [B, N] ids, padded behind
  torch::Tensor prompt_lengths;  // [B] int64
  torch::Tensor decoder_input;   // [B, U] ids: BOS, then the target shifted by one
};

// What generation carries from token to token. Owned by the caller, changed by step() and keep_rows() only.
struct Generation {
  std::vector<LayerCache> layers;  // one per decoder layer
  torch::Tensor tokens;            // [B, written] ids fed to step() so far
  torch::Tensor lengths;           // [B] tokens in the cache per sequence
};

class GiantRabbitImpl : public torch::nn::Module {
 public:
  // Weights are drawn from LibTorch's default generator: seed it first.
  GiantRabbitImpl(ModelConfig config, const TokenTraits& traits);

  // Logits [B, U, V]; row u predicts the token behind decoder_input[u].
  torch::Tensor forward(const Inputs& inputs, Trace* trace = nullptr);

  // Reads the prompt: encoder, thoughts, caches.
  Generation start(const torch::Tensor& prompt, const torch::Tensor& prompt_lengths, Trace* trace = nullptr);
  // The same from the results of encode() and think(), for callers that time the phases apart.
  Generation start(const Memory& encoded, const Memory& memory, Trace* trace = nullptr);
  // Feeds one token per sequence, [B] -> logits [B, V] for the next one.
  torch::Tensor step(Generation& generation, const torch::Tensor& token, Trace* trace = nullptr);
  // Keeps the sequences `rows` [K] of a batch only, for finished ones to leave.
  static void keep_rows(Generation& generation, const torch::Tensor& rows);

  // Prompt and pause states; without an encoder their vectors as they are.
  Memory encode(const torch::Tensor& prompt, const torch::Tensor& prompt_lengths, Trace* trace = nullptr);
  Memory think(const Memory& memory, Trace* trace = nullptr);

  // Matrices of the hidden layers with the number of independent parts stacked in their rows (query, key,
  // value), for optimisers that treat matrices as matrices; every other parameter is in neither list.
  struct HiddenMatrix {
    torch::Tensor weight;
    int64_t parts = 1;
  };
  std::vector<HiddenMatrix> hidden_matrices() const;
  int64_t parameter_count() const;
  const ModelConfig& config() const { return config_; }

  Embedding embedding{nullptr};
  Encoder encoder{nullptr};
  ChainOfThought chain_of_thought{nullptr};
  Decoder decoder{nullptr};
  OutputHead output_head{nullptr};

 private:
  ModelConfig config_;
  torch::Tensor pause_;  // [P, D]; undefined without pause tokens
};
TORCH_MODULE(GiantRabbit);

// So many entries its parameters and buffers have at least: who reads weights for a configuration that came
// with them compares the two before anything of that size is made.
int64_t least_entries(const ModelConfig& config, int64_t words);

}  // namespace giantrabbit::model
