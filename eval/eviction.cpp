// Steps through the module with a trace, whose supports say what received attention; see eviction.h. Kept
// invariant: mass_[layer] has one entry per key that the layer's cache holds.
#include "eval/eviction.h"

#include <algorithm>
#include <stdexcept>

#include "data/batch.h"
#include "data/counter_rng.h"
#include "eval/decode.h"
#include "model/embedding.h"

namespace giantrabbit::eval {
namespace {

class ForgettingCaches {
 public:
  ForgettingCaches(std::vector<model::LayerCache>& layers, const Eviction& eviction)
      : layers_(layers), eviction_(eviction), rng_{eviction.seed}, mass_(layers.size()) {
    for (size_t layer = 0; layer < layers.size(); ++layer) mass_[layer] = torch::zeros({held(layer)});
  }

  // What the last token gave to the keys of every layer, itself among them.
  void see(const model::Trace& trace) {
    size_t layer = 0;
    for (const model::AttentionRecord& record : trace.attentions) {
      if (!record.name.ends_with(".self")) continue;
      mass_[layer] = torch::cat({mass_[layer], torch::zeros({held(layer) - mass_[layer].size(0)})});
      mass_[layer].index_add_(0, record.support.key_indices, record.support.weights);
      ++layer;
    }
  }

  void forget() {
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      const int64_t kept = model::kept_count(eviction_.keep_fraction, held(layer));
      const torch::Tensor stay = std::get<0>(ranking(layer).narrow(0, 0, kept).sort());
      ops::KeyValueCache& cache = layers_[layer].self;
      ops::KeyValueCache smaller(cache.sizes());
      smaller.append(cache.keys(0).index_select(1, stay).unsqueeze(0),
                     cache.values(0).index_select(1, stay).unsqueeze(0));
      cache = std::move(smaller);
      mass_[layer] = mass_[layer].index_select(0, stay);
    }
  }

  double mean_held() const {
    double sum = 0;
    for (size_t layer = 0; layer < layers_.size(); ++layer) sum += static_cast<double>(held(layer));
    return sum / static_cast<double>(layers_.size());
  }

 private:
  int64_t held(size_t layer) const { return layers_[layer].self.length(0); }

  // Keys of a layer, those that stay longest first.
  torch::Tensor ranking(size_t layer) {
    torch::Tensor importance;
    if (eviction_.rule == EvictionRule::attention) importance = mass_[layer];
    if (eviction_.rule == EvictionRule::recency) importance = torch::arange(held(layer));
    if (eviction_.rule == EvictionRule::random) {
      importance = torch::empty({held(layer)}, torch::kFloat64);
      for (int64_t key = 0; key < held(layer); ++key) importance[key] = rng_.unit();
    }
    return std::get<1>(importance.sort(/*stable=*/true, -1, /*descending=*/true));
  }

  std::vector<model::LayerCache>& layers_;
  Eviction eviction_;
  data::CounterRng rng_;
  std::vector<torch::Tensor> mass_;
};

}  // namespace

std::string_view eviction_rule_name(EvictionRule rule) {
  switch (rule) {
    case EvictionRule::attention:
      return "attention";
    case EvictionRule::recency:
      return "recency";
    case EvictionRule::random:
      return "random";
  }
  return "";
}

EvictedOutput decode_evicting(model::GiantRabbit& network, const data::Vocabulary& vocabulary,
                              const data::Words& prompt, int64_t limit, const Eviction& eviction) {
  if (network->config().window > 0) {
    throw std::invalid_argument("eviction: the model's attention has a window already");
  }
  const torch::NoGradGuard no_grad;
  const std::vector<int64_t> ids = vocabulary.encode(prompt);
  model::Generation generation =
      network->start(data::one_sequence(ids), torch::tensor({std::ssize(ids)}, torch::kInt64));
  ForgettingCaches caches(generation.layers, eviction);
  const int64_t line_end = vocabulary.id("NL");
  EvictedOutput result;
  int64_t token = data::Vocabulary::bos;
  const int64_t most = std::min(limit, position_limit(network->config(), std::ssize(prompt)));
  for (int64_t written = 0; written < most && token != data::Vocabulary::eos; ++written) {
    model::Trace trace;
    const bool step_ended = token == line_end;
    token =
        network->step(generation, torch::tensor({token}, torch::kInt64), &trace).argmax(-1).item<int64_t>();
    caches.see(trace);
    result.keys_held += caches.mean_held();
    result.keys_written += static_cast<double>(generation.lengths.item<int64_t>());
    if (step_ended) caches.forget();
    result.words.push_back(vocabulary.word(token));
  }
  const auto tokens = static_cast<double>(std::max<int64_t>(1, std::ssize(result.words)));
  result.keys_held /= tokens;
  result.keys_written /= tokens;
  return result;
}

}  // namespace giantrabbit::eval
