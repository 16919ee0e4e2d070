// Batched greedy decoding with a key/value cache. Finished sequences leave the batch; every sequence stops at
// EOS or at its limit. Time is taken per phase. What a sequence writes does not depend on the batch it is in.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/problem.h"
#include "data/vocabulary.h"
#include "model/giant_rabbit.h"
#include "model/prepared_decoder.h"

namespace giantrabbit::eval {

struct PhaseSeconds {
  double encode = 0;
  double think = 0;
  double decode = 0;
  double total() const { return encode + think + decode; }
};

struct Decoded {
  std::vector<data::Words> outputs;  // one per prompt, EOS included when it was written
  PhaseSeconds seconds;              // of the whole call
  int64_t tokens = 0;                // tokens written in all
  std::vector<double> step_seconds;  // of every call of the decoder in order; with one prompt: of every token
};

// Most tokens that fit into the model's position table behind a prompt; INT64_MAX where there is no table.
int64_t position_limit(const model::ModelConfig& config, int64_t prompt_words);

// prompts: words of each problem; limits: most tokens of each output (also bounded by position_limit()
// behind the longest prompt). Sequences are decoded `batch_size` at a time, sorted by prompt length; the
// result keeps the caller's order. weights: what the decoder's matrices are rounded to; the prompt is read in
// fp32.
Decoded decode_greedy(model::GiantRabbit& network, const data::Vocabulary& vocabulary,
                      std::span<const data::Words> prompts, std::span<const int64_t> limits,
                      int64_t batch_size = 128, model::WeightType weights = model::WeightType::float32);

}  // namespace giantrabbit::eval
