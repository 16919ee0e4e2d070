// The decoder and the output head for generation: weights packed once, then per token one pass over them in
// plain memory, without LibTorch. In, a trained model and the caches that GiantRabbit::start() filled; out,
// the logits of GiantRabbit::step(), up to the order of fp32 sums and the rounding of the weights' type. All
// options of the model are covered; traces are the module's business.
//
// A sequence's logits do not depend on the other sequences of the batch or on the number of threads.
#pragma once

#include <span>
#include <vector>

#include <torch/torch.h>

#include "model/attention_core.h"
#include "model/giant_rabbit.h"
#include "ops/generation_step.h"
#include "ops/packed_matrix.h"

namespace giantrabbit::model {

using ops::parse_weight_type;
using ops::weight_type_name;
using ops::WeightType;

class PreparedDecoder {
 public:
  // Copies the weights: what happens to the model later is not seen.
  PreparedDecoder(const GiantRabbit& network, WeightType type);

  // What generation carries from token to token.
  struct Sequences {
    std::vector<LayerCache> layers;
    std::vector<int64_t> positions;                              // of each sequence's next token
    std::vector<SignpostCount> signposts;                        // of each sequence
    ops::CachedAttentionCounters self_counters, cross_counters;  // of all steps so far
    int64_t size() const { return static_cast<int64_t>(positions.size()); }
  };
  // Goes on where `generation` is.
  Sequences start(Generation generation) const;
  // Feeds one token per sequence; the logits [B, V] for the next ones stay valid until the next call. Throws
  // c10::Error, and changes nothing, for a token outside the vocabulary or a position outside the table.
  std::span<const float> step(Sequences& sequences, std::span<const int64_t> tokens);
  // The sequences `rows` stay, in this order.
  static void keep_rows(Sequences& sequences, std::span<const int64_t> rows);

  int64_t vocabulary_size() const { return head_.outputs(); }
  int64_t weight_bytes() const;  // that one step with few sequences reads

 private:
  struct Layer {
    ops::LayerNorm self_norm, cross_norm, feed_forward_norm;
    ops::PackedMatrix projection, self_out;    // of queries, keys and values; of queries and values if shared
    SharedAttention shared{nullptr};           // of a layer with shared queries and keys: its pattern
    ops::PackedMatrix cross_query, cross_out;  // empty without memory
    ops::PackedMatrix into, out_of;
  };
  // Rows of floats, `width` apart.
  struct Table {
    torch::Tensor rows;
    int64_t size() const { return rows.defined() ? rows.size(0) : 0; }
    const float* row(int64_t index) const { return rows.const_data_ptr<float>() + index * rows.size(1); }
  };

  void check(const Sequences& sequences, std::span<const int64_t> tokens);
  void reach_position(int64_t position);  // the tables get as long as that, where they can
  void reserve(int64_t batch);
  void embed(Sequences& sequences, std::span<const int64_t> tokens);
  void rotate(const Sequences& sequences);
  void attend_self(const Layer& layer, Sequences& sequences, size_t index);
  void attend_shared(const Layer& layer, Sequences& sequences, size_t index);
  void attend_memory(const Layer& layer, Sequences& sequences, size_t index);
  void feed_forward(const Layer& layer, int64_t batch);

  ModelConfig config_;
  AttentionCore core_;
  Embedding embedding_;  // for positions beyond the tables and for the sign-posts' rules
  std::vector<Layer> layers_;
  ops::LayerNorm head_norm_;
  ops::PackedMatrix head_;
  Table words_, positions_, signpost_rows_, signpost_columns_;
  Table cosines_, sines_;  // rotary positions
  // Of the current token, one row per sequence.
  std::vector<float> states_, normed_, projected_, heads_, hidden_, logits_;
};

}  // namespace giantrabbit::model
