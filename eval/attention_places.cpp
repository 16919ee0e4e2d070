// Index arithmetic between attention calls and words; see attention_places.h.
#include "eval/attention_places.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <stdexcept>

#include <fmt/format.h>

namespace giantrabbit::eval {
namespace {

template <typename Value>
std::vector<Value> values_of(const at::Tensor& tensor, at::ScalarType type) {
  const at::Tensor flat = tensor.reshape(-1).to(type).contiguous();
  const Value* data = flat.const_data_ptr<Value>();
  return {data, data + flat.numel()};
}

KeyPlaces word_places(bool in_prompt, int64_t count) {
  KeyPlaces places;
  for (int64_t index = 0; index < count; ++index) places.emplace_back(Place{in_prompt, index});
  return places;
}

void append(KeyPlaces& places, const KeyPlaces& more) {
  places.insert(places.end(), more.begin(), more.end());
}

}  // namespace

PlaceMap::PlaceMap(const model::ModelConfig& config, const model::Trace& trace, int64_t prompt_words,
                   int64_t output_words)
    : encoder_(config.encoder),
      prompt_(word_places(true, prompt_words)),
      output_(word_places(false, output_words)) {
  prompt_.resize(prompt_.size() + static_cast<size_t>(config.pause_tokens));  // they are no words
  KeyPlaces state = prompt_;
  for (int64_t step = 0; step < config.thought_steps; ++step) {
    if (config.mask != "none" && config.mask_granularity == "token") {
      KeyPlaces kept;
      for (const int64_t token : values_of<int64_t>(trace.masks.at(static_cast<size_t>(step)), at::kLong)) {
        kept.push_back(state.at(static_cast<size_t>(token)));
      }
      state = std::move(kept);
    }
    thoughts_.push_back(state);
  }
}

AttentionPlaces PlaceMap::of(const model::AttentionRecord& record) const {
  const bool self = record.name.ends_with(".self");
  if (record.name.starts_with("encoder.")) return {prompt_, prompt_};
  if (record.name.starts_with("thought.")) {
    const size_t begin = record.name.find('.') + 1;
    const auto step = static_cast<size_t>(std::stoul(record.name.substr(begin)));
    return {thoughts_.at(step), self ? thoughts_.at(step) : prompt_};
  }
  // Without an encoder the prompt comes first among the decoder's words.
  AttentionPlaces places;
  if (!encoder_) places.queries = prompt_;
  append(places.queries, output_);
  if (self) {
    if (!encoder_) places.keys = prompt_;
    places.keys.emplace_back(std::nullopt);  // BOS
    append(places.keys, output_);
    places.keys.resize(static_cast<size_t>(record.keys));  // the last word is written, never read
  } else {
    if (encoder_) places.keys = prompt_;
    if (!thoughts_.empty()) append(places.keys, thoughts_.back());
  }
  return places;
}

SupportView::SupportView(const model::AttentionRecord& record)
    : queries_(record.queries),
      offsets_(values_of<int64_t>(record.support.row_offsets, at::kLong)),
      indices_(values_of<int64_t>(record.support.key_indices, at::kLong)),
      visible_(values_of<int64_t>(record.visible, at::kLong)),
      weights_(values_of<double>(record.support.weights, at::kDouble)) {
  if (record.visible.size(0) != 1) {
    throw std::invalid_argument(fmt::format("SupportView: a record of one sequence is needed, got {} in {}",
                                            record.visible.size(0), record.name));
  }
  heads_ = queries_ == 0 ? 0 : (std::ssize(offsets_) - 1) / queries_;
}

std::vector<SupportView::Key> SupportView::keys(int64_t head, int64_t query) const {
  const auto row = static_cast<size_t>(head * queries_ + query);
  std::vector<Key> keys;
  for (auto at = static_cast<size_t>(offsets_[row]); at < static_cast<size_t>(offsets_[row + 1]); ++at) {
    keys.push_back({indices_[at], weights_[at]});
  }
  return keys;
}

std::vector<SupportView::Key> SupportView::heaviest(int64_t head, int64_t query, double mass) const {
  std::vector<Key> all = keys(head, query);
  std::ranges::stable_sort(all, std::ranges::greater(), &Key::weight);
  if (mass >= 1) return all;
  const double whole = std::accumulate(all.begin(), all.end(), 0.0,
                                       [](double sum, const Key& key) { return sum + key.weight; });
  double held = 0;
  size_t count = 0;
  while (count < all.size() && held < mass * whole) held += all[count++].weight;
  all.resize(count);
  return all;
}

}  // namespace giantrabbit::eval
