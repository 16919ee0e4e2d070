// What a GiantRabbit model is made of. Letters used in every comment of this room:
//   B batch, N prompt length, U output length (chain and answer), T thought steps, D width, H heads, d = D/H
//   head width, L layers, V vocabulary size.
#pragma once

#include <cstdint>
#include <string>

#include "model/option_set.h"

namespace giantrabbit::model {

struct ModelConfig {
  int64_t width = 128;         // D
  int64_t heads = 4;           // H, divides D
  int64_t feed_forward = 512;  // hidden width of the position-wise network
  int64_t encoder_layers = 1;  // 0 is allowed only with encoder = false
  int64_t decoder_layers = 3;
  int64_t thought_steps = 2;          // T; 0 removes the chain-of-thought module
  int64_t pause_tokens = 0;           // learned states behind every prompt, the control of thought steps
  bool encoder = true;                // false: the prompt becomes the decoder's prefix
  std::string attention = "softmax";  // softmax | sparsemax | entmax15: the one sparse-or-dense switch
  // plain | gated | strict: how self-attention makes the matrices of queries, keys and values
  // (deep_projection.h); rank and temperature are for gated and strict.
  std::string projection = "plain";
  int64_t projection_rank = 3;
  double projection_temperature = 1;
  double score_scale = 0;  // scores are multiplied by score_scale / sqrt(d); 0 = the normaliser's own default
  // Self-attention sees positions at a distance below `window` only: back and, outside the decoder, ahead
  // too; 0 = all.
  int64_t window = 0;
  // none | lsh | full | window | random: every second decoder layer, the last one of an even number, has the
  // same vectors as queries and keys and finds its keys so (shared_attention.h); the others see `window`.
  std::string shared_attention = "none";
  int64_t lsh_rounds = 4;
  int64_t lsh_chunk = 64;
  int64_t lsh_buckets = 0;   // of a round, even; 0 = 2 max_positions / lsh_chunk
  double keep_fraction = 1;  // a: share of features (embedding, masks) or tokens (token masks) that is kept
  std::string embedding_mask = "magnitude";  // magnitude | random: which entries of an embedding a < 1 keeps
  // none | static | dynamic | random | recency: the mask M_t of the thought states (chain_of_thought.h)
  std::string mask = "none";
  std::string mask_granularity = "feature";  // feature | token
  std::string position = "signpost";         // signpost | learned | axial | sinusoidal | rotary
  // Length of the tables by position: decoder positions (signpost, learned, axial), prompt positions
  // (learned; those of the decoder without an encoder), thought masks (static by tokens, random). Longer
  // inputs are an error there.
  int64_t max_positions = 384;
  bool number_features = true;  // Fourier features of whole numbers added to their embeddings
  std::string output =
      "softmax";  // softmax | sparsemax | entmax15: output weights and the loss that belongs to them

  void bind(OptionSet& options);  // registers every field as "model.<name>"
  void validate() const;          // throws OptionError for combinations that make no sense
};

// What the model must know about each word of the vocabulary, as plain tables of length V.
struct TokenTraits {
  struct Token {
    bool is_whole = false;  // a whole number
    bool is_denominator = false;
    double value = 0;            // the whole number or the denominator
    int64_t row_label = 0;       // R1 -> 1, R2 -> 2, ..
    bool ends_group = false;     // the count of values starts again behind it
    bool ends_line = false;      // NL: the label of the line ends
    bool ends_row = false;       // ';' separates rows of prompt and answer
    bool starts_answer = false;  // ANS
  };
  std::vector<Token> tokens;
  int64_t pad = 0;
  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
};

}  // namespace giantrabbit::model
