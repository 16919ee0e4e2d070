// Which words the queries and keys of a traced attention stand for. In: the trace of one sequence. Out: a
// place per query and per key. A decoder's query stands for the word it writes; a thought and the encoded
// state of a prompt word stand for that word; BOS stands for none.
#pragma once

#include <optional>
#include <vector>

#include "eval/need.h"
#include "model/config.h"
#include "model/trace.h"

namespace giantrabbit::eval {

using KeyPlaces = std::vector<std::optional<Place>>;

struct AttentionPlaces {
  KeyPlaces queries;
  KeyPlaces keys;
};

class PlaceMap {
 public:
  PlaceMap(const model::ModelConfig& config, const model::Trace& trace, int64_t prompt_words,
           int64_t output_words);
  AttentionPlaces of(const model::AttentionRecord& record) const;

 private:
  bool encoder_;
  KeyPlaces prompt_, output_;
  std::vector<KeyPlaces> thoughts_;  // [t]: what step t visits; tokens that a mask dropped are not among them
};

// The supports of one attention, [head, query]: keys in ascending order and their weights.
class SupportView {
 public:
  // Throws std::invalid_argument unless the record is of one sequence. The record must outlive the view.
  explicit SupportView(const model::AttentionRecord& record);
  int64_t heads() const { return heads_; }
  int64_t queries() const { return queries_; }
  struct Key {
    int64_t index = 0;
    double weight = 0;
  };
  std::vector<Key> keys(int64_t head, int64_t query) const;
  // The heaviest keys that together hold at least `mass` of the row's weight, heaviest first; mass = 1: every
  // key with a weight. This makes supports of normalisers comparable whose weights are never exactly 0.
  std::vector<Key> heaviest(int64_t head, int64_t query, double mass) const;
  // Keys that the mask let a query see; in causal attention the last ones up to its own.
  int64_t visible(int64_t query) const { return visible_[static_cast<size_t>(query)]; }

 private:
  int64_t heads_ = 0;
  int64_t queries_ = 0;
  std::vector<int64_t> offsets_, indices_, visible_;
  std::vector<double> weights_;
};

}  // namespace giantrabbit::eval
