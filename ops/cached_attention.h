// Attention of one or a few queries per sequence over a KeyValueCache: the step of generation. Exact.
//
//   out[b, h, m] = sum_j normalizer(scale * query[b, h, m].key[b, g, j])_j value[b, g, j],  g = h / (H / G)
//
// Query m of M sees the keys 0 .. L - M + m of a sequence with L keys, as if it had been appended with the
// last M of them; with a window only the last `window` of those. The row contract of ops/sparsemax.h holds; a
// key with weight exactly 0 contributes nothing.
//
// sparsemax and entmax15 read the 8-bit copy of the keys first and skip what provably has weight 0: the
// result equals the definition up to fp32 rounding of the scores. Which way is taken depends on the data
// only. Same bits for any thread count. Not differentiable.
#pragma once

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

#include "ops/key_value_cache.h"
#include "ops/normalizer.h"
#include "ops/sparse_mask_attention.h"

namespace giantrabbit::ops {

// What a call did, summed over its rows (b, h, m). A row's keys are scored in 8 bits, in fp32, or not at all.
struct CachedAttentionCounters {
  int64_t rows = 0;
  int64_t dense_rows = 0;  // every visible key scored in fp32
  int64_t keys_visible = 0;
  int64_t keys_coded = 0;     // scored in 8 bits
  int64_t keys_scored = 0;    // scored in fp32
  int64_t pages_skipped = 0;  // neither, because of their ball
  int64_t support = 0;        // keys whose values were read
  int64_t bytes_read = 0;     // of keys, codes, bounds and values
  CachedAttentionCounters& operator+=(const CachedAttentionCounters& other);
};

// query [B, H, M, d] in fp32 or a 16-bit floating dtype, H a multiple of G; result [B, H, M, e] in its dtype.
// scale: none = 1/sqrt(d).
at::Tensor cached_attention(const at::Tensor& query, const KeyValueCache& cache, Normalizer normalizer,
                            std::optional<double> scale = std::nullopt,
                            std::optional<int64_t> window = std::nullopt,
                            CachedAttentionCounters* counters = nullptr);
// The same output with its support; key indices count from the sequence's first key. Its counters stay
// undefined.
AttentionSupport cached_attention_support(const at::Tensor& query, const KeyValueCache& cache,
                                          Normalizer normalizer, std::optional<double> scale = std::nullopt,
                                          std::optional<int64_t> window = std::nullopt);

}  // namespace giantrabbit::ops
