// CUDA kernels of a paged key/value cache and of attention to it, as plain functions by the conventions of
// kernels.h. The cache is what ops/key_value_cache.h describes, as plain arrays: keys and values in pages of
// 64 tokens, of every key a copy in 8 bits with bounds of what that costs, of every full page a ball around
// its keys. A token's codes depend on its key alone and a page's ball on its keys, so the contents do not
// depend on how the tokens were cut into calls. Queries, keys and values are float32, bfloat16 or float16 and
// computed with in float.
#pragma once

#include "ops/cuda/kernels.h"

namespace giantrabbit::ops::cuda {

constexpr int kPageTokens = 64;

// Of key k with codes c in -127 .. 127: |k - scale c| <= error and |scale c| <= norm. Infinite error: the key
// holds what is not finite.
struct CacheCode {
  float scale;
  float error;
  float norm;
};

// Every key of the page is within `radius` of its centre, whose norm is at most `norm`.
struct CacheBall {
  float radius;
  float norm;
};

// A pool of pages; a page holds 64 tokens of every head.
struct CachePages {
  int64_t heads;
  int64_t width;
  int64_t value_width;
  void* keys;              // [pages, heads, 64, width]
  void* values;            // [pages, heads, 64, value_width]
  int32_t* codes;          // [pages, heads, (width + 3) / 4, 64]: four codes of a key, the first in the low
                           // byte
  CacheCode* code_bounds;  // [pages, heads, 64]
  float* centres;          // [pages, heads, width]
  CacheBall* balls;        // [pages, heads]
};

// The pages of the sequences: token i of sequence b is in page table[b * row + i / 64].
struct CacheTable {
  int64_t batch;
  const int32_t* table;
  int64_t row;
  const int64_t* lengths;  // [batch], on the device
};

// Sequence b takes the first counts[b] of `tokens` tokens, or all of them (null), into pages that its table
// holds; the lengths are those before. Rows are laid out as those of attention.
struct CacheRowsToAppend {
  int64_t tokens;
  const int64_t* counts;  // [batch], on the device
  const void* keys;
  HeadsLayout key;
  const void* values;
  HeadsLayout value;
};
int launch_cache_append(Dtype dtype, const CachePages& pages, const CacheTable& table,
                        const CacheRowsToAppend& rows, void* stream);

// Query m of M of a sequence of L tokens sees the keys 0 .. L - M + m, with a window the last of those.
struct CachedProblem {
  int64_t heads;    // a multiple of the cache's
  int64_t queries;  // per sequence
  const void* query;
  HeadsLayout query_layout;
  void* result;  // [batch, heads, queries, value_width], contiguous
  double scale;
  int64_t window;      // 0: none
  int64_t most_pages;  // at least the pages of the longest sequence, at most the table's row
};

// Memory of a call, contents undefined; rows are counted (sequence, head, query), keys are most_pages * 64.
struct CachedScratch {
  // sparsemax and entmax-1.5
  float* lower;        // [rows, keys]
  float* upper;        // [rows, keys]
  float* page_bounds;  // [rows, most_pages]
  double* thresholds;  // [rows]
  // softmax: [rows, cached_parts()], and those times the width of the values
  float* maxima;
  float* totals;
  float* sums;
};
int64_t cached_parts(const CachedProblem& problem);

// sparsemax and entmax-1.5 by certificate (Note [Attention by certificate] in ops/cpu/filtered_row.cpp):
// bounds from balls and codes rule out what has weight 0 without reading it, the rest is scored in float.
// softmax scores every key.
int launch_cached_attention(Normalizer normalizer, Dtype dtype, const CachePages& pages,
                            const CacheTable& table, const CachedProblem& problem,
                            const CachedScratch& scratch, void* stream);

}  // namespace giantrabbit::ops::cuda
