// sparsemax and entmax-1.5 of a row that does not fit the first-level cache: the one pass over the scores
// leaves the largest entries of every block, and later passes read only the blocks that matter. Part of
// row_functions.cpp.
#pragma once

#include "ops/cpu/row_threshold.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

template <class T>
constexpr int64_t kWideRow = 16 * kBlock<T>;

template <class T>
struct RowBlocks {
  static constexpr int64_t kMost = 256;

  explicit RowBlocks(int64_t length) : n(length) {
    while (size * kMost < n) size *= 2;
  }

  // Calls function(first entry, entries, largest entries) for every block.
  template <class Function>
  [[gnu::always_inline]] void for_each(Function function) {
    Vec<T>* block = peaks;
    for (int64_t begin = 0; begin < n; begin += size)
      function(begin, n - begin < size ? n - begin : size, *block++);
  }

  // Fills the peaks; NaN as the maximum if a score is one.
  RowPeak<T> read(const T* row) {
    constexpr int64_t kCount = Lanes<T>::count;
    constexpr T kLowest = -static_cast<T>(kInfinity);
    constexpr int64_t kAhead = 64 * kCount;  // a page, which the hardware's own prefetch does not leave
    Vec<T> lanes = broadcast(kLowest);
    auto unordered = lanes != lanes;
    for_each([&](int64_t begin, int64_t length, Vec<T>& peak) {
      Vec<T> best[2] = {broadcast(kLowest), broadcast(kLowest)};
      int64_t i = begin;
      for (; i + 2 * kCount <= begin + length; i += 2 * kCount) {
        __builtin_prefetch(row + i + kAhead);
        __builtin_prefetch(row + i + kAhead + kCount);
        const Vec<T> pair[2] = {load(row + i), load(row + i + kCount)};
        unordered |= (pair[0] != pair[0]) | (pair[1] != pair[1]);
        best[0] = larger(pair[0], best[0]);
        best[1] = larger(pair[1], best[1]);
      }
      for (; i < begin + length; i += kCount) {
        const int64_t rest = begin + length - i;
        const Vec<T> vec = rest < kCount ? load_part(row + i, rest, kLowest) : load(row + i);
        unordered |= vec != vec;
        best[0] = larger(vec, best[0]);
      }
      peak = larger(best[0], best[1]);
      lanes = larger(peak, lanes);
    });
    if (lane_bits<T>(unordered) != 0) return {lanes, static_cast<T>(__builtin_nan(""))};
    return {lanes, lane_maximum<T>(lanes)};
  }

  LaneList<T> collect_above(const T* row, T bound, T* buffer) {
    const Vec<T> bounds = broadcast(bound);
    LaneList<T> list{buffer};
    for_each([&](int64_t begin, int64_t length, Vec<T> peak) {
      if (bits_not_within<T>(peak, bounds) != 0) append_above(row + begin, length, bounds, list);
    });
    list.finish();
    return list;
  }

  int64_t n;
  int64_t size = kBlock<T>;
  Vec<T> peaks[kMost];
};

// Where too many entries lie above the first bound, the peaks' own threshold is a better one.
template <class Rule, class T>
T wide_threshold(const T* row, int64_t n, RowBlocks<T>& blocks, const RowPeak<T>& peak) {
  alignas(64) T buffer[kBuffer<T>];
  LaneList<T> list = blocks.collect_above(row, first_bound<Rule>(peak), buffer);
  if (list.count <= kCandidates) return list_threshold<Rule>(row, n, list, peak.maximum);
  const int64_t count = (n + blocks.size - 1) / blocks.size * Lanes<T>::count;
  const T tau = many_threshold<Rule>(reinterpret_cast<const T*>(blocks.peaks), count, list.count,
                                     peak.maximum, buffer, T(-1));
  const T start = rounded_down(rounded_down(tau));  // tau of the peaks was rounded to T
  const T bound = peak.maximum + start / static_cast<T>(Rule::kScale);
  list = blocks.collect_above(row, rounded_down(bound), buffer);
  return list_threshold<Rule>(row, n, list, peak.maximum, start);
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
