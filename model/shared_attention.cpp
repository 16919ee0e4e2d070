// Patterns over shared queries and keys; see shared_attention.h.
#include "model/shared_attention.h"

#include <cmath>

#include "ops/cached_attention.h"
#include "ops/lsh_attention.h"
#include "ops/reference/lsh_attention.h"
#include "ops/sparse_mask_attention.h"
#include "ops/sparsemax.h"

namespace giantrabbit::model {
namespace {

torch::Tensor shared_heads(const torch::Tensor& rows, int64_t heads) {
  return rows.unflatten(-1, {heads, -1}).transpose(1, 2);
}

}  // namespace

bool is_shared_layer(const ModelConfig& config, int64_t layer) {
  return config.shared_attention != "none" && layer % 2 == 1;
}

SharedAttentionImpl::SharedAttentionImpl(const ModelConfig& config, int64_t layer)
    : config_(config), layer_(layer), core_(config) {
  const double spread = 0.5 / std::sqrt(static_cast<double>(config.width));
  query_value = register_parameter("query_value", torch::randn({2 * config.width, config.width}) * spread);
  out = register_parameter("out", torch::zeros({config.width, config.width}));
}

SharedAttentionImpl::Heads SharedAttentionImpl::project(const torch::Tensor& x) const {
  const std::vector<torch::Tensor> parts = torch::linear(x, query_value).chunk(2, -1);
  return {shared_heads(parts[0], config_.heads), shared_heads(parts[1], config_.heads)};
}

torch::Tensor SharedAttentionImpl::merge(const torch::Tensor& heads) const {
  return torch::linear(heads.transpose(1, 2).flatten(2), out);
}

ops::LshHashing SharedAttentionImpl::hashing() const {
  // A bucket holds about half a chunk.
  const int64_t fitting = 2 * ((config_.max_positions + config_.lsh_chunk - 1) / config_.lsh_chunk);
  const int64_t buckets = config_.lsh_buckets > 0 ? config_.lsh_buckets : std::max<int64_t>(2, fitting);
  const auto seed = is_training()
                        ? static_cast<uint64_t>(torch::randint(int64_t{1} << 62, {1}).item<int64_t>())
                        : static_cast<uint64_t>(layer_);
  return ops::LshHashing::random(config_.heads, config_.width / config_.heads, config_.lsh_rounds, {buckets},
                                 seed);
}

ops::LshPattern SharedAttentionImpl::pattern() const {
  ops::LshPattern pattern;
  pattern.chunk_length = config_.lsh_chunk;
  pattern.causal = true;
  return pattern;
}

torch::Tensor SharedAttentionImpl::random_keys(int64_t earlier) const {
  const int64_t keys = config_.lsh_rounds * config_.lsh_chunk;
  if (earlier <= keys) return torch::arange(earlier);
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(earlier));
  return std::get<0>(torch::randperm(earlier, generator, torch::kInt64).narrow(0, 0, keys).sort());
}

// Query i is position i + 1 and sees keys up to i.
ops::SparseMask SharedAttentionImpl::earlier_mask(int64_t queries) const {
  ops::SparseMask mask;
  mask.causal = true;
  if (config_.shared_attention == "window") mask.window = config_.lsh_rounds * config_.lsh_chunk;
  if (config_.shared_attention != "random") return mask;
  if (!drawn_.row_offsets || drawn_.row_offsets->size(0) != queries + 1) {
    std::vector<torch::Tensor> rows;
    std::vector<int64_t> offsets{0};
    for (int64_t i = 0; i < queries; ++i) {
      rows.push_back(random_keys(i + 1));
      offsets.push_back(offsets.back() + rows.back().numel());
    }
    drawn_.row_offsets = torch::tensor(offsets, torch::kInt64);
    drawn_.key_indices = queries > 0 ? torch::cat(rows) : torch::empty({0}, torch::kInt64);
  }
  mask.row_offsets = drawn_.row_offsets;
  mask.key_indices = drawn_.key_indices;
  return mask;
}

torch::Tensor SharedAttentionImpl::attend_earlier(const Heads& heads) const {
  const int64_t queries = heads.query.size(2) - 1;
  if (queries < 1) return heads.value;
  const torch::Tensor key = ops::lsh_shared_keys(heads.query);
  const torch::Tensor rest =
      core_.attend(heads.query.narrow(2, 1, queries), key.narrow(2, 0, queries),
                   heads.value.narrow(2, 0, queries), earlier_mask(queries), nullptr, "");
  return torch::cat({heads.value.narrow(2, 0, 1), rest}, 2);
}

torch::Tensor SharedAttentionImpl::attend(const Heads& heads) const {
  if (config_.shared_attention != "lsh") return attend_earlier(heads);
  return ops::lsh_shared_attention(heads.query, heads.value, hashing(), pattern(), core_.normalizer(),
                                   core_.scale());
}

torch::Tensor SharedAttentionImpl::visible(const torch::Tensor& query) const {
  const int64_t length = query.size(2);
  if (config_.shared_attention == "lsh") {
    const torch::Tensor buckets = ops::lsh_buckets(query, hashing());
    return ops::reference::lsh_permitted(ops::reference::lsh_counts(buckets, pattern()), pattern());
  }
  torch::Tensor permitted = torch::zeros({1, 1, length, length}, torch::kBool);
  if (length > 1) {
    permitted.slice(2, 1)
        .slice(3, 0, length - 1)
        .copy_(earlier_mask(length - 1).dense(1, 1, length - 1, length - 1));
  }
  if (length > 0) permitted.select(2, 0).select(2, 0).fill_(true);
  return permitted;
}

torch::Tensor SharedAttentionImpl::weights(const torch::Tensor& query) const {
  const torch::NoGradGuard no_grad;
  const torch::Tensor scores = (query.matmul(ops::lsh_shared_keys(query).transpose(-2, -1)) * core_.scale())
                                   .masked_fill(visible(query).logical_not(), -INFINITY);
  switch (core_.normalizer()) {
    case ops::Normalizer::softmax:
      return scores.softmax(-1);
    case ops::Normalizer::sparsemax:
      return ops::sparsemax(scores);
    case ops::Normalizer::entmax15:
      return ops::entmax15(scores);
  }
  return {};
}

torch::Tensor SharedAttentionImpl::forward(const torch::Tensor& x, Trace* trace, const std::string& name) {
  const Heads heads = project(x);
  if (trace != nullptr) {
    const torch::NoGradGuard no_grad;
    // Every key once, as often as rounds may have found it.
    const torch::Tensor permitted =
        visible(heads.query).expand({x.size(0), config_.heads, x.size(1), x.size(1)});
    const torch::Tensor key = ops::lsh_shared_keys(heads.query);
    trace->attentions.push_back({name, x.size(1), x.size(1), permitted.sum(-1).select(1, 0),
                                 ops::sparse_mask_attention_support(heads.query, key, heads.value,
                                                                    ops::SparseMask::from_dense(permitted),
                                                                    core_.normalizer(), core_.scale())});
  }
  return merge(attend(heads));
}

torch::Tensor SharedAttentionImpl::fill(const torch::Tensor& x, const torch::Tensor& lengths,
                                        SharedCache& cache) {
  const Heads heads = project(x);
  torch::Tensor result = torch::zeros_like(heads.value);
  for (int64_t b = 0; b < x.size(0); ++b) {
    const int64_t length = lengths[b].item<int64_t>();
    const auto own = [&](const torch::Tensor& of) { return of.narrow(0, b, 1).narrow(2, 0, length); };
    own(result).copy_(attend({own(heads.query), own(heads.value)}));
  }
  if (config_.shared_attention == "lsh") {
    cache.hashed = ops::LshCache(hashing(), pattern(), core_.normalizer(), core_.scale());
    cache.hashed.append(heads.query, heads.value, lengths);
  } else {
    cache.earlier = core_.cache_of(ops::lsh_shared_keys(heads.query), heads.value, lengths);
  }
  return merge(result);
}

torch::Tensor SharedAttentionImpl::step(const torch::Tensor& x, SharedCache& cache) const {
  const Heads heads = project(x);
  return merge(attend_step(heads.query, heads.value, cache));
}

torch::Tensor SharedAttentionImpl::attend_step(const torch::Tensor& query, const torch::Tensor& value,
                                               SharedCache& cache) const {
  if (config_.shared_attention == "lsh") return cache.hashed.step(query, value);
  const int64_t window = config_.shared_attention == "window" ? config_.lsh_rounds * config_.lsh_chunk : 0;
  const torch::Tensor result = config_.shared_attention == "random"
                                   ? attend_random(query, cache.earlier)
                                   : core_.attend(query, cache.earlier, window, nullptr, "");
  const torch::Tensor first = cache.earlier.lengths().eq(0).view({-1, 1, 1, 1});
  cache.earlier.append(ops::lsh_shared_keys(query), value);
  return torch::where(first, value, result);
}

torch::Tensor SharedAttentionImpl::attend_random(const torch::Tensor& query,
                                                 const ops::KeyValueCache& cache) const {
  std::vector<torch::Tensor> results;
  for (int64_t b = 0; b < query.size(0); ++b) {
    const torch::Tensor chosen = random_keys(cache.length(b));
    const auto of = [&](const torch::Tensor& all) { return all.index_select(1, chosen).unsqueeze(0); };
    results.push_back(
        core_.attend(query.narrow(0, b, 1), of(cache.keys(b)), of(cache.values(b)), {}, nullptr, ""));
  }
  return results.empty() ? torch::zeros_like(query) : torch::cat(results);
}

}  // namespace giantrabbit::model
