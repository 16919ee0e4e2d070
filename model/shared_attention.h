// Self-attention of a decoder layer whose queries and keys are the same vectors (Kitaev, Kaiser and Levskaya
// 2020, "Reformer"): keys are the queries normalised, a token sees earlier ones only, and itself only where
// there are none. Which earlier ones is the pattern model.shared_attention: `lsh`, those that
// locality-sensitive hashing finds (ops/lsh_attention.h), or, to compare it with, all of them (`full`), the
// last ones (`window`) or random ones (`random`). Window and random have model.lsh_rounds x model.lsh_chunk
// keys: hashing shows twice as many places, about half of which are later. Positions are the embedding's
// business: rotary coding does not act here. No biases; the output projection starts at zero.
#pragma once

#include <string>

#include <torch/torch.h>

#include "model/attention_core.h"
#include "model/config.h"
#include "model/trace.h"
#include "ops/key_value_cache.h"
#include "ops/lsh_cache.h"

namespace giantrabbit::model {

// What a layer remembers of the tokens so far: `hashed` with the pattern lsh, otherwise `earlier`.
struct SharedCache {
  ops::KeyValueCache earlier;
  ops::LshCache hashed;
};

// Whether decoder layer `layer` shares queries and keys: every second one does, the second layer first.
bool is_shared_layer(const ModelConfig& config, int64_t layer);

class SharedAttentionImpl : public torch::nn::Module {
 public:
  // Layers have rotations of their own; in training they are drawn anew for every call.
  SharedAttentionImpl(const ModelConfig& config, int64_t layer);

  // x [B, M, D] -> [B, M, D].
  torch::Tensor forward(const torch::Tensor& x, Trace* trace, const std::string& name);
  // Attends as forward() does to every sequence alone and starts the cache with its first lengths[b]
  // positions; the result behind them is 0.
  torch::Tensor fill(const torch::Tensor& x, const torch::Tensor& lengths, SharedCache& cache);
  // One token per sequence: x [B, 1, D] joins the cache. Hashing then sorts what is there so far: its chunks
  // are not those of a longer sequence.
  torch::Tensor step(const torch::Tensor& x, SharedCache& cache) const;
  // The same between the projections: query [B, H, 1, d] and value [B, H, 1, d] -> [B, H, 1, d].
  torch::Tensor attend_step(const torch::Tensor& query, const torch::Tensor& value, SharedCache& cache) const;

  // Queries and values of x, [B, H, M, d] each: what a pattern works on.
  struct Heads {
    torch::Tensor query, value;
  };
  Heads project(const torch::Tensor& x) const;
  // The pattern's attention over whole sequences.
  torch::Tensor attend(const Heads& heads) const;
  // Which keys it shows to each query, [B or 1, H or 1, M, M] bool.
  torch::Tensor visible(const torch::Tensor& query) const;
  // Their weights, every key once, [B, H, M, M]. Not differentiable.
  torch::Tensor weights(const torch::Tensor& query) const;

  // The pattern lsh: the layer's rotations, in training drawn anew.
  ops::LshHashing hashing() const;
  // The pattern random: positions below `earlier` shown to the one behind them; the same in every layer.
  torch::Tensor random_keys(int64_t earlier) const;

  torch::Tensor query_value;  // [2 D, D]
  torch::Tensor out;          // [D, D]

 private:
  torch::Tensor merge(const torch::Tensor& heads) const;
  torch::Tensor attend_earlier(const Heads& heads) const;
  torch::Tensor attend_random(const torch::Tensor& query, const ops::KeyValueCache& cache) const;
  ops::SparseMask earlier_mask(int64_t queries) const;
  ops::LshPattern pattern() const;

  ModelConfig config_;
  int64_t layer_;
  AttentionCore core_;
  mutable ops::SparseMask drawn_;  // the random pattern's lists of the newest length
};
TORCH_MODULE(SharedAttention);

}  // namespace giantrabbit::model
