// cached_attention: checks, query rows and results around ops/cpu/cached_attention.h.
#include "ops/cached_attention.h"

#include <cmath>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include "ops/cpu/cached_attention.h"

namespace giantrabbit::ops {
namespace {

void check_cached_call(const at::Tensor& query, const KeyValueCache& cache, std::optional<int64_t> window) {
  const KeyValueCache::Sizes& sizes = cache.sizes();
  TORCH_CHECK(query.is_cpu() && query.is_floating_point() && query.scalar_type() != at::kDouble,
              "cached_attention: expected the query in fp32 or a 16-bit floating dtype on the CPU, got ",
              query.scalar_type());
  const bool fits = query.dim() == 4 && query.size(0) == sizes.batch && query.size(3) == sizes.width &&
                    (sizes.heads == 0 ? query.size(1) == 0 : query.size(1) % sizes.heads == 0);
  TORCH_CHECK(fits, "cached_attention: expected query [", sizes.batch, ", multiple of ", sizes.heads, ", M, ",
              sizes.width, "] for the cache, got ", query.sizes());
  TORCH_CHECK(!window || *window >= 1, "cached_attention: expected a window of at least 1, got ",
              window.value_or(0));
  TORCH_CHECK(!(at::GradMode::is_enabled() && query.requires_grad()),
              "cached_attention: has no gradient; expected a query that needs none, or a NoGradGuard");
}

// Rows of the kernels: padded and in fp32. The tensor itself where it is like that already.
at::Tensor padded_query(const at::Tensor& query) {
  const int64_t width = query.size(3);
  const int64_t padded = cpu::padded_row(width);
  const bool usable = query.scalar_type() == at::kFloat && padded == width && query.stride(3) == 1;
  if (usable) return query;
  at::Tensor rows = at::zeros({query.size(0), query.size(1), query.size(2), padded}, at::kFloat);
  rows.narrow(3, 0, width).copy_(query);
  return rows;
}

// Rows (b, h, m) of a contiguous or strided [B, H, M, row].
cpu::RowSteps steps_of(const at::Tensor& rows) { return {rows.stride(0), rows.stride(1), rows.stride(2)}; }

at::Tensor attend(const at::Tensor& query, const KeyValueCache& cache, Normalizer normalizer,
                  std::optional<double> scale, std::optional<int64_t> window,
                  std::vector<cpu::CachedSupport>* supports, CachedAttentionCounters& counters) {
  check_cached_call(query, cache, window);
  if (supports != nullptr) {
    supports->resize(static_cast<size_t>(query.size(0) * query.size(1) * query.size(2)));
  }
  const KeyValueCache::Sizes& sizes = cache.sizes();
  const double usual_scale = 1.0 / std::sqrt(static_cast<double>(std::max<int64_t>(1, sizes.width)));
  const at::Tensor rows = padded_query(query.detach());
  const at::Tensor result = at::empty(
      {query.size(0), query.size(1), query.size(2), cpu::padded_row(sizes.value_width)}, at::kFloat);
  const cpu::CachedCall call{cpu::decode_functions(cpu::chosen_capability()), normalizer,
                             static_cast<float>(scale.value_or(usual_scale))};
  cpu::attend_sequences({cache, call, window, query.size(1), query.size(2), rows.const_data_ptr<float>(),
                         steps_of(rows), result.mutable_data_ptr<float>(), steps_of(result)},
                        supports, counters);
  const bool padded = result.size(3) != sizes.value_width;
  return (padded ? result.narrow(3, 0, sizes.value_width).contiguous() : result).to(query.scalar_type());
}

}  // namespace

CachedAttentionCounters& CachedAttentionCounters::operator+=(const CachedAttentionCounters& other) {
  rows += other.rows;
  dense_rows += other.dense_rows;
  keys_visible += other.keys_visible;
  keys_coded += other.keys_coded;
  keys_scored += other.keys_scored;
  pages_skipped += other.pages_skipped;
  support += other.support;
  bytes_read += other.bytes_read;
  return *this;
}

at::Tensor cached_attention(const at::Tensor& query, const KeyValueCache& cache, Normalizer normalizer,
                            std::optional<double> scale, std::optional<int64_t> window,
                            CachedAttentionCounters* counters) {
  CachedAttentionCounters uncounted;
  return attend(query, cache, normalizer, scale, window, nullptr,
                counters == nullptr ? uncounted : *counters);
}

AttentionSupport cached_attention_support(const at::Tensor& query, const KeyValueCache& cache,
                                          Normalizer normalizer, std::optional<double> scale,
                                          std::optional<int64_t> window) {
  std::vector<cpu::CachedSupport> supports;
  CachedAttentionCounters uncounted;
  const at::Tensor output = attend(query, cache, normalizer, scale, window, &supports, uncounted);
  const at::Tensor offsets = at::zeros({std::ssize(supports) + 1}, at::kLong);
  int64_t* offset = offsets.mutable_data_ptr<int64_t>();
  for (size_t row = 0; row < supports.size(); ++row) {
    offset[row + 1] = offset[row] + std::ssize(supports[row].keys);
  }
  const at::Tensor keys = at::empty({offset[supports.size()]}, at::kLong);
  const at::Tensor weights = at::empty({offset[supports.size()]}, at::kFloat);
  for (size_t row = 0; row < supports.size(); ++row) {
    std::copy(supports[row].keys.begin(), supports[row].keys.end(),
              keys.mutable_data_ptr<int64_t>() + offset[row]);
    std::copy(supports[row].weights.begin(), supports[row].weights.end(),
              weights.mutable_data_ptr<float>() + offset[row]);
  }
  return {output, offsets, keys, weights, {}};
}

}  // namespace giantrabbit::ops
