// A batch of examples as tensors. B sequences, N = longest prompt, U = longest chain and answer; ids are
// int64, padded at the end with Vocabulary::pad.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <torch/types.h>

#include "data/dataset.h"

namespace giantrabbit::data {

struct Batch {
  torch::Tensor prompt;          // [B, N]
  torch::Tensor prompt_lengths;  // [B]
  torch::Tensor decoder_input;   // [B, U]: BOS, then the target shifted right by one
  torch::Tensor target;          // [B, U]: chain, ANS, answer, EOS, or a piece of text; pad = no loss
  torch::Tensor target_lengths;  // [B]
  int64_t target_tokens = 0;     // tokens that count in the loss
};

int64_t rounded_up(int64_t length, int64_t multiple);

// N and U are rounded up to multiples of `multiple`; padding alone takes neither beyond `most`.
Batch make_batch(std::span<const Example> examples, int64_t multiple = 1, int64_t most = INT64_MAX);
// One sequence without padding, [1, count].
torch::Tensor one_sequence(std::span<const int64_t> ids);
// Prompts only, for decoding.
Batch make_prompt_batch(std::span<const Example> examples, int64_t multiple = 1, int64_t most = INT64_MAX);

}  // namespace giantrabbit::data
