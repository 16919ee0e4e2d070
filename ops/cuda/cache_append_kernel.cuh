// Appending to the paged cache: rows and their codes, a warp per token and head; then the balls of the pages
// that became full, a warp per page and head.
#pragma once

#include "ops/cuda/cache_pages.cuh"

namespace giantrabbit::ops::cuda {

__device__ inline int64_t appended(const CacheRowsToAppend& rows, int64_t sequence) {
  return rows.counts == nullptr ? rows.tokens : rows.counts[sequence];
}

template <class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    cache_append_rows(CachePages pages, CacheTable table, CacheRowsToAppend rows) {
  const int64_t task = int64_t{blockIdx.x} * kBlockWarps + warp_index();
  const int64_t token = task % rows.tokens;
  const int64_t head = task / rows.tokens % pages.heads;
  const int64_t sequence = task / rows.tokens / pages.heads;
  if (sequence >= table.batch || token >= appended(rows, sequence)) return;
  const int64_t at = table.lengths[sequence] + token;
  const int64_t place = page_place(pages, table, sequence, head, at / kPageTokens);
  const int64_t slot = at % kPageTokens;
  const auto source = [&](const void* data, const HeadsLayout& layout) {
    return static_cast<const Stored*>(data) + sequence * layout.batch + head * layout.head +
           token * layout.row;
  };
  const Stored* const key = source(rows.keys, rows.key);
  const Stored* const value = source(rows.values, rows.value);
  Stored* const key_target = key_row<Stored>(pages, place, slot);
  Stored* const value_target = value_row<Stored>(pages, place, slot);
  for (int64_t column = lane_index(); column < pages.width; column += kWarp) key_target[column] = key[column];
  for (int64_t column = lane_index(); column < pages.value_width; column += kWarp)
    value_target[column] = value[column];
  int32_t* const codes = pages.codes + place * code_words(pages.width) * kPageTokens + slot;
  const CacheCode bounds =
      encode_row(key, pages.width, [&](int64_t word, int32_t four) { codes[word * kPageTokens] = four; });
  if (lane_index() == 0) pages.code_bounds[place * kPageTokens + slot] = bounds;
}

// Mean of the page's keys, and a bound of the distance of any of them from it: sums in double, where nothing
// overflows, and a factor that covers their rounding.
template <class Stored>
__device__ void write_ball(const CachePages& pages, int64_t place) {
  float* const centre = pages.centres + place * pages.width;
  double squares = 0.0;
  for (int64_t column = lane_index(); column < pages.width; column += kWarp) {
    double sum = 0.0;
    for (int token = 0; token < kPageTokens; ++token)
      sum += static_cast<double>(widened(key_row<Stored>(pages, place, token)[column]));
    const auto mean = static_cast<float>(sum / kPageTokens);
    centre[column] = mean;  // the same lane reads it again
    squares += static_cast<double>(mean) * static_cast<double>(mean);
  }
  squares = WarpGroup().sum(squares);
  double largest = 0.0;
  for (int token = 0; token < kPageTokens; ++token) {
    double distance = 0.0;
    for (int64_t column = lane_index(); column < pages.width; column += kWarp) {
      const double difference = static_cast<double>(widened(key_row<Stored>(pages, place, token)[column])) -
                                static_cast<double>(centre[column]);
      distance += difference * difference;
    }
    distance = WarpGroup().sum(distance);
    // NaN counts as infinite: such a page is always read.
    largest = distance <= largest ? largest : distance == distance ? distance : kInfinity<double>;
  }
  if (lane_index() != 0) return;
  constexpr double kUp = 1.0 + 1e-6;
  pages.balls[place] = {static_cast<float>(sqrt(largest) * kUp), static_cast<float>(sqrt(squares) * kUp)};
}

// `most` pages of a sequence at most are touched by the call.
template <class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    cache_close_pages(CachePages pages, CacheTable table, CacheRowsToAppend rows, int64_t most) {
  const int64_t task = int64_t{blockIdx.x} * kBlockWarps + warp_index();
  const int64_t head = task / most % pages.heads;
  const int64_t sequence = task / most / pages.heads;
  if (sequence >= table.batch) return;
  const int64_t page = table.lengths[sequence] / kPageTokens + task % most;
  if ((page + 1) * kPageTokens > table.lengths[sequence] + appended(rows, sequence)) return;
  write_ball<Stored>(pages, page_place(pages, table, sequence, head, page));
}

}  // namespace giantrabbit::ops::cuda
