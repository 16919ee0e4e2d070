// How much of what it may see a model's attention uses, and what that costs at most in keys and bytes read.
// Measured by forcing given outputs through the network, so that compared runs see the same tokens.
//
// Element density is not cost: hardware skips whole pages of keys, so the page density stands beside it.
// Keys and bytes of K are an upper bound: as if every visible key were scored. What the sparse decoder really
// scores is counted by its own counters (eval/ladder.h). Of V only rows with a nonzero weight are read.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/problem.h"
#include "data/vocabulary.h"
#include "model/giant_rabbit.h"

namespace giantrabbit::eval {

inline constexpr int64_t keys_per_page = 16;

struct HeadCost {
  double keys_used = 0;     // mean keys with a nonzero weight per query
  double density = 0;       // keys used / keys visible, mean over queries
  double page_density = 0;  // pages of 16 keys that are touched / pages visible, mean over queries
};

struct LayerCost {
  std::string name;  // as in the trace: "decoder.0.self", ..
  int64_t queries = 0;
  double keys_visible = 0;   // mean per query
  double keys_in_union = 0;  // mean keys used by any head
  double union_density = 0;
  std::vector<HeadCost> heads;
  HeadCost mean() const;  // over the heads
};

struct AttentionCost {
  std::vector<LayerCost> layers;  // in the order of computation
  int64_t items = 0;
  int64_t tokens = 0;  // written tokens they belong to
  // Decoder only, per written token, summed over layers and heads.
  double keys_visible = 0;  // upper bound of the keys scored
  double key_bytes = 0;     // of all visible keys
  double value_bytes = 0;
};

// One forward pass over a prompt and the output written to it; `logits`, if asked for, become [1, U, V].
model::Trace trace_example(model::GiantRabbit& network, const data::Example& example,
                           torch::Tensor* logits = nullptr);
model::Trace trace_output(model::GiantRabbit& network, const data::Vocabulary& vocabulary,
                          const data::Words& prompt, const data::Words& output,
                          torch::Tensor* logits = nullptr);

struct ForcedItem {
  data::Words prompt;
  data::Words output;  // chain, ANS, answer, EOS
};
// `observe` sees every trace, for other measures on the same pass; may be empty.
using ObserveTrace = std::function<void(const ForcedItem& item, const model::Trace& trace)>;
AttentionCost measure_attention(model::GiantRabbit& network, const data::Vocabulary& vocabulary,
                                std::span<const ForcedItem> items, const ObserveTrace& observe = {});

// Adds up records of single sequences (B = 1, so no padding is counted); exposed for tests on hand-made
// traces.
class CostCounter {
 public:
  explicit CostCounter(int64_t head_width) : head_width_(head_width) {}
  void add(const model::Trace& trace, int64_t tokens);
  AttentionCost result() const;

 private:
  void add(const model::AttentionRecord& record, int64_t tokens);
  int64_t head_width_;
  AttentionCost sums_;  // sums instead of means until result()
};

}  // namespace giantrabbit::eval
