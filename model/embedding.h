// Tokens [B, T] -> vectors [B, T, D]: word table, Fourier features of numbers, sparsification, positions.
//
// Sparse embedding: x = E[t] * keep(E[t], a), the ceil(a D) entries of largest magnitude stay (or a fixed
// random choice, the control); gradient flows to kept entries only. Number features: sin and cos of 2 pi v /
// period for a fixed list of periods, through a learned projection added to the word table, so that equal
// distances look alike to the model.
#pragma once

#include <torch/torch.h>

#include "model/config.h"
#include "model/signpost.h"

namespace giantrabbit::model {

// Axial positions (Kitaev et al. 2020): position p has the sum of two learned vectors, of row p / 32 and of
// column p % 32. Prompt and decoder share them.
inline constexpr int64_t axial_columns = 32;

class EmbeddingImpl : public torch::nn::Module {
 public:
  EmbeddingImpl(const ModelConfig& config, const TokenTraits& traits);

  torch::Tensor prompt(const torch::Tensor& tokens);
  // first: position of column 0 per sequence, an int64 tensor broadcastable to [B, 1] (0 with an encoder, the
  // prompt's length without).
  torch::Tensor decoder(const torch::Tensor& tokens, const torch::Tensor& first);
  // The last column only, for generation: history [B, t] are all decoder tokens so far -> [B, 1, D].
  torch::Tensor decoder_last(const torch::Tensor& history, const torch::Tensor& first);
  // Word vectors with number features, before sparsification: the output head is tied to them. [V, D]
  torch::Tensor table() const;

  // What decoder() adds up, for decoders that keep tables of their own. The word vectors as they enter the
  // layers [V, D]; the position vectors of the positions 0 .. count [count, D] (undefined for rotary
  // positions, shorter than `count` where learned ones end); the sign-posts, empty for other positions.
  torch::Tensor input_table() const;
  torch::Tensor position_table(int64_t count) const;
  const Signpost& signpost() const { return signpost_; }
  const torch::Tensor& signpost_rows() const { return rows_; }
  const torch::Tensor& signpost_columns() const { return columns_; }

 private:
  torch::Tensor look_up(const torch::Tensor& tokens) const;
  torch::Tensor place(torch::Tensor x, const torch::Tensor& positions, const Signposts& signposts,
                      bool is_prompt);
  torch::Tensor learned_positions(bool is_prompt) const;
  ModelConfig config_;
  torch::Tensor words_;                                 // [V, D]
  torch::Tensor number_features_;                       // [V, F] fixed
  torch::Tensor number_projection_;                     // [F, D]
  torch::Tensor random_keep_;                           // [V, D] 0/1, control of the sparse embedding
  torch::Tensor prompt_positions_, decoder_positions_;  // [max_positions, D]
  torch::Tensor rows_, columns_;                        // tables of sign-posts, or of axial positions
  Signpost signpost_{nullptr};
};
TORCH_MODULE(Embedding);

// ceil(a n), where a product that is whole but for rounding counts as whole.
int64_t kept_count(double keep_fraction, int64_t count);

// keep(x, a): 1 at the ceil(a D) entries of largest magnitude along the last dimension, else 0. Not
// differentiable.
torch::Tensor keep_largest(const torch::Tensor& x, double keep_fraction);

}  // namespace giantrabbit::model
