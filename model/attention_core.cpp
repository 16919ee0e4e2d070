// The sparse-or-dense choice; see attention_core.h. Score scales: notes in ModelConfig::bind's help text.
#include "model/attention_core.h"

#include <cmath>

#include "ops/cached_attention.h"
#include "ops/sparse_mask_attention.h"

namespace giantrabbit::model {
namespace {

// sparsemax cuts off every key more than 1 below the top, softmax needs a gap of about 5 for that: at
// softmax's scale sparsemax is nearly one-hot from the start and learns slowly.
double default_score_scale(ops::Normalizer normalizer) {
  switch (normalizer) {
    case ops::Normalizer::softmax:
      return 1;
    case ops::Normalizer::sparsemax:
      return 0.25;
    case ops::Normalizer::entmax15:
      return 0.5;
  }
  return 1;
}

// Keys that each query may see, [B, M].
torch::Tensor visible_keys(const torch::Tensor& query, const torch::Tensor& key,
                           const ops::SparseMask& mask) {
  const torch::Tensor permitted = mask.dense(query.size(0), 1, query.size(2), key.size(2));
  return permitted.sum(-1).select(1, 0).expand({query.size(0), query.size(2)});
}

}  // namespace

AttentionCore::AttentionCore(const ModelConfig& config)
    : normalizer_(ops::parse_normalizer(config.attention)) {
  const double factor = config.score_scale > 0 ? config.score_scale : default_score_scale(normalizer_);
  scale_ = factor / std::sqrt(static_cast<double>(config.width / config.heads));
}

torch::Tensor AttentionCore::attend(const torch::Tensor& query, const torch::Tensor& key,
                                    const torch::Tensor& value, const ops::SparseMask& mask, Trace* trace,
                                    const std::string& name) const {
  if (trace != nullptr) {
    trace->attentions.push_back(
        {name, query.size(2), key.size(2), visible_keys(query, key, mask),
         ops::sparse_mask_attention_support(query, key, value, mask, normalizer_, scale_)});
  }
  return ops::sparse_mask_attention(query, key, value, mask, normalizer_, scale_);
}

torch::Tensor AttentionCore::attend(const torch::Tensor& query, const ops::KeyValueCache& cache,
                                    int64_t window, Trace* trace, const std::string& name) const {
  const std::optional<int64_t> limit = window > 0 ? std::optional(window) : std::nullopt;
  if (trace == nullptr) return ops::cached_attention(query, cache, normalizer_, scale_, limit);
  const torch::Tensor lengths = cache.lengths();
  const int64_t longest = lengths.numel() == 0 ? 0 : lengths.max().item<int64_t>();
  const torch::Tensor visible = limit ? lengths.clamp_max(window) : lengths;
  trace->attentions.push_back({name, query.size(2), longest, visible.unsqueeze(1),
                               ops::cached_attention_support(query, cache, normalizer_, scale_, limit)});
  return trace->attentions.back().support.output;
}

void AttentionCore::attend(const ops::TokenQueries& rows, const ops::KeyValueCache& cache, int64_t window,
                           ops::CachedAttentionCounters& counters) const {
  const std::optional<int64_t> limit = window > 0 ? std::optional(window) : std::nullopt;
  ops::attend_token(rows, cache, normalizer_, scale_, limit, counters);
}

ops::KeyValueCache AttentionCore::cache_of(const torch::Tensor& key, const torch::Tensor& value,
                                           const torch::Tensor& lengths) const {
  ops::KeyValueCache cache({key.size(0), key.size(1), key.size(3), value.size(3)},
                           /*skippable=*/normalizer_ != ops::Normalizer::softmax);
  cache.append(key, value, lengths);
  return cache;
}

torch::Tensor AttentionCore::received_mass(const torch::Tensor& query, const torch::Tensor& key,
                                           const ops::SparseMask& mask) const {
  const torch::NoGradGuard guard;
  const ops::AttentionSupport support =
      ops::sparse_mask_attention_support(query, key, key, mask, normalizer_, scale_);
  const torch::Tensor row =
      torch::repeat_interleave(support.row_offsets.diff());  // (b, h, query) of a weight
  const torch::Tensor sequence = row.div(query.size(1) * query.size(2), "floor");
  torch::Tensor weights = support.weights;
  if (mask.key_lengths) {
    const torch::Tensor padding = row.remainder(query.size(2)).ge(mask.key_lengths->index({sequence}));
    weights = weights.masked_fill(padding, 0);
  }
  return torch::zeros({query.size(0), key.size(2)}, weights.options())
      .index_put_({sequence, support.key_indices}, weights, /*accumulate=*/true);
}

}  // namespace giantrabbit::model
