// Rows of the paged cache, their low-precision copies and their scores, for a warp. In: rows of keys or
// queries. Out: codes with the bounds of Note [Bounds of coded scores] in ops/cpu/key_filter.h, and scores.
#pragma once

#include "ops/cuda/cache_kernels.h"
#include "ops/cuda/weighted_rows.cuh"

namespace giantrabbit::ops::cuda {

constexpr float kSmallestCoded = 1e-30F;  // numbers below count as 0, the whole number as error
constexpr int kCachedBlocks = 2;   // per multiprocessor: left alone, ptxas aims at more and spills registers
constexpr int kPagesPerBlock = 4;  // a divisor of kPageTokens

// Words of four codes of a key.
__host__ __device__ constexpr int64_t code_words(int64_t width) { return (width + 3) / 4; }

// Calls function(value of the type that a cache holds).
template <class Function>
int with_cached_type(Dtype dtype, const Function& function) {
  switch (dtype) {
    case Dtype::float32:
      return function(float{});
    case Dtype::bfloat16:
      return function(__nv_bfloat16{});
    case Dtype::float16:
      return function(__half{});
    default:
      return cudaErrorInvalidValue;
  }
}

// Where page `page` of head `head` lies among the parallel arrays, in units of one head of one page.
__device__ inline int64_t page_place(const CachePages& pages, const CacheTable& table, int64_t sequence,
                                     int64_t head, int64_t page) {
  return int64_t{table.table[sequence * table.row + page]} * pages.heads + head;
}

template <class Stored>
__device__ Stored* key_row(const CachePages& pages, int64_t place, int64_t token) {
  return static_cast<Stored*>(pages.keys) + (place * kPageTokens + token) * pages.width;
}

template <class Stored>
__device__ Stored* value_row(const CachePages& pages, int64_t place, int64_t token) {
  return static_cast<Stored*>(pages.values) + (place * kPageTokens + token) * pages.value_width;
}

// As on the CPU: beside the rounding of the sum, below 2e-5 for widths up to 1024 and growing with the width,
// every number lost up to 127 * 3 * 2^-24 when it was divided by the scale.
__device__ inline float norm_bound(float squares, int64_t width, float scale) {
  const float norm = sqrtf(squares) * (1.0F + 2e-5F + static_cast<float>(width) * 0x1p-23F);
  return (norm + 3e-5F * sqrtf(static_cast<float>(width))) * scale;
}

// Codes of a row, by a warp: store(word, four codes). Every lane gets the bounds.
template <class Stored, class Store>
__device__ CacheCode encode_row(const Stored* row, int64_t width, Store store) {
  float largest = 0.0F;
  bool finite = true;
  for (int64_t column = lane_index(); column < width; column += kWarp) {
    const float number = fabsf(widened(row[column]));
    finite = finite && number < kInfinity<float>;
    largest = number > largest ? number : largest;
  }
  finite = !WarpGroup().any(!finite);
  largest = WarpGroup().largest(largest);
  const bool coded = finite && largest >= kSmallestCoded;
  const float inverse = coded ? 127.0F / largest : 0.0F;
  float error_squares = 0.0F;
  float code_squares = 0.0F;
  for (int64_t word = lane_index(); word < code_words(width); word += kWarp) {
    uint32_t codes = 0;
    for (int byte = 0; byte < 4; ++byte) {
      const int64_t column = word * 4 + byte;
      const float units = coded && column < width ? widened(row[column]) * inverse : 0.0F;
      const float code = rintf(units);
      const float rest = units - code;
      error_squares += rest * rest;
      code_squares += code * code;
      codes |= (static_cast<uint32_t>(static_cast<int>(code)) & 0xFFU) << (8 * byte);
    }
    store(word, static_cast<int32_t>(codes));
  }
  error_squares = WarpGroup().sum(error_squares);
  code_squares = WarpGroup().sum(code_squares);
  if (!finite) return {0.0F, kInfinity<float>, 0.0F};
  if (!coded) return {0.0F, kSmallestCoded * static_cast<float>(width), 0.0F};
  const float scale = largest / 127.0F;
  return {scale, norm_bound(error_squares, width, scale), norm_bound(code_squares, width, scale)};
}

// Keys that a query sees; begin >= end if none.
struct VisibleKeys {
  int64_t begin;
  int64_t end;

  __device__ bool has(int64_t key) const { return begin <= key && key < end; }
};

// The rows of a call that share a head of the cache, `unit` counts sequences and their key/value heads.
struct CachedUnit {
  const CachedProblem& problem;
  int64_t sequence;
  int64_t head;       // of the cache
  int64_t first_row;  // of all rows
  int64_t rows;
  int64_t length;

  __device__ CachedUnit(const CachedProblem& of, const CachePages& pages, const CacheTable& table,
                        int64_t unit)
      : problem(of),
        sequence(unit / pages.heads),
        head(unit % pages.heads),
        first_row(unit * (of.heads / pages.heads) * of.queries),
        rows(of.heads / pages.heads * of.queries),
        length(table.lengths[sequence]) {}

  __device__ VisibleKeys visible(int64_t row) const {
    const int64_t end = length - problem.queries + (first_row + row) % problem.queries + 1;
    const int64_t begin = problem.window > 0 && end > problem.window ? end - problem.window : 0;
    return {begin, end};
  }

  template <class Stored>
  __device__ const Stored* query(int64_t row) const {
    const HeadsLayout& layout = problem.query_layout;
    const int64_t at = (first_row + row) / problem.queries % problem.heads;
    return static_cast<const Stored*>(problem.query) + sequence * layout.batch + at * layout.head +
           (first_row + row) % problem.queries * layout.row;
  }
};

// The unit of row `row` of all rows.
__device__ inline int64_t unit_of_row(const CachedProblem& problem, const CachePages& pages, int64_t row) {
  return row / (problem.heads / pages.heads * problem.queries);
}

// Four products at a time: eight lanes share a key, lanes whose key is null none. The order of a sum depends
// on the width alone, so that a score has the same bits however it was asked for.
constexpr int kLanesPerKey = 8;
constexpr int kKeysAtATime = kWarp / kLanesPerKey;
template <class Stored>
__device__ float shared_product(const float* query, const Stored* key, int64_t width) {
  float sum = 0.0F;
  if (key != nullptr) {
    for (int64_t column = lane_index() % kLanesPerKey; column < width; column += kLanesPerKey)
      sum = fused(query[column], widened(key[column]), sum);
  }
  for (int lanes = kLanesPerKey / 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(kAllLanes, sum, lanes);
  return sum;
}

// A query in shared memory, for its warp.
template <class Stored>
__device__ void load_query(const Stored* query, int64_t width, float* to) {
  __syncwarp();  // everybody has read the row before
  for (int64_t column = lane_index(); column < width; column += kWarp) to[column] = widened(query[column]);
  __syncwarp();
}

// Scores of 32 keys of a page for a warp, a key per lane, from `first_token` on; -inf where not wanted.
template <class Stored>
__device__ float score_lanes(const CachePages& pages, int64_t place, int first_token, const float* query,
                             float scale, bool wanted) {
  float score = -kInfinity<float>;
  unsigned left = __ballot_sync(kAllLanes, wanted);
  while (left != 0) {
    int token = -1;     // of the eight lanes that this one belongs to
    unsigned mine = 0;  // the keys of this turn
    for (int at = 0; at < kKeysAtATime && left != 0; ++at) {
      const int lane = __ffs(static_cast<int>(left)) - 1;
      if (at == lane_index() / kLanesPerKey) token = lane;
      mine |= 1U << lane;
      left &= left - 1;
    }
    const Stored* const key = token < 0 ? nullptr : key_row<Stored>(pages, place, first_token + token);
    const float product = shared_product(query, key, pages.width);
    // The turn's keys are in the order of their lanes.
    const int turn = __popc(mine & ((1U << lane_index()) - 1));
    const float own = __shfl_sync(kAllLanes, product, turn * kLanesPerKey);
    if ((mine >> lane_index() & 1U) != 0) score = own * scale;
  }
  return score;
}

}  // namespace giantrabbit::ops::cuda
