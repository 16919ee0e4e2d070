// Sparsemax and entmax-1.5 of many short rows, a row per lane: alone, such a row costs more in reductions and
// waiting than in arithmetic. Rows of kShortRow scores in, their weights out. Sorting is cheap here, and the
// thresholds follow from the gaps between sorted entries without a difference that cancels. A row's bits
// depend on its own values only. Part of row_functions.cpp; see Note [Sparsemax threshold] in
// ops/reference/sparsemax.cpp.
#pragma once

#include "ops/cpu/lane_transpose.h"
#include "ops/cpu/row_threshold.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

constexpr int kShortRow = 16;

// Batcher's odd-even merge sort of kShortRow entries.
struct SortingNetwork {
  static constexpr int kPairs = 63;
  int upper[kPairs]{};
  int lower[kPairs]{};

  constexpr SortingNetwork() {
    int pair = 0;
    for (int run = 1; run < kShortRow; run *= 2) {
      for (int step = run; step >= 1; step /= 2) {
        for (int first = step % run; first + step < kShortRow; first += 2 * step) {
          for (int i = first; i < first + step && i + step < kShortRow; ++i) {
            if (i / (2 * run) != (i + step) / (2 * run)) continue;
            upper[pair] = i;
            lower[pair++] = i + step;
          }
        }
      }
    }
  }
};

inline Vec<float> smaller(Vec<float> first, Vec<float> second) {
#if defined(__AVX512F__)
  return (Vec<float>)_mm512_maskz_min_ps(0xffff, (__m512)first, (__m512)second);
#elif defined(__AVX2__)
  return (Vec<float>)_mm256_min_ps((__m256)first, (__m256)second);
#else
  return first < second ? first : second;
#endif
}

// Downwards.
template <size_t... pair>
[[gnu::always_inline]] inline void sort_lanes(Vec<float>* entries, std::index_sequence<pair...>) {
  constexpr SortingNetwork kNetwork;
  const auto order = [](Vec<float> & upper, Vec<float> & lower) __attribute__((always_inline)) {
    const Vec<float> most = larger(upper, lower);
    lower = smaller(upper, lower);
    upper = most;
  };
  (order(entries[kNetwork.upper[pair]], entries[kNetwork.lower[pair]]), ...);
}

// The sorted entries looked at so far, of every lane: sums over them of what lies above the last one and, for
// entmax-1.5, of its square. Both grow from entry to entry, and the support is the longest head in which the
// one that the rule limits stays below 1.
template <class Rule>
constexpr bool kSquares = Rule::kSharpen;

template <class Rule>
struct HeadSums {
  Vec<float> last{};  // the largest y
  Vec<float> count = broadcast(1.0f);
  Vec<float> distances{};
  Vec<float> squares{};

  [[gnu::always_inline]] HeadSums with(Vec<float> next) const {
    const Vec<float> gap = last - next;
    HeadSums sums;
    sums.last = next;
    sums.count = count + 1.0f;
    sums.distances = distances + count * gap;
    sums.squares = squares + gap * (distances + sums.distances);
    return sums;
  }

  // How far below the last entry the threshold lies: the positive solution of
  // distances + count x = 1, or of squares + 2 distances x + count x^2 = 1.
  [[gnu::always_inline]] Vec<float> threshold_distance() const {
    if constexpr (!kSquares<Rule>) return (1.0f - distances) / count;
    const Vec<float> room = 1.0f - squares;
    return room / (distances + square_root(distances * distances + count * room));
  }
};

// tau of y, sorted downwards, the first 0.
template <class Rule>
[[gnu::always_inline]] inline Vec<float> sorted_threshold(const Vec<float>* y) {
  HeadSums<Rule> all;
  HeadSums<Rule> support;
#pragma GCC unroll 16
  for (int i = 1; i < kShortRow; ++i) {
    all = all.with(y[i]);
    const auto member = (kSquares<Rule> ? all.squares : all.distances) < 1.0f;
    support.last = member ? all.last : support.last;
    support.count = member ? all.count : support.count;
    support.distances = member ? all.distances : support.distances;
    if constexpr (kSquares<Rule>) support.squares = member ? all.squares : support.squares;
  }
  return support.last - support.threshold_distance();
}

// As many rows as a vector has lanes, as columns.
struct RowGroup {
  static constexpr int64_t kRows = Lanes<float>::count;
  static constexpr int64_t kParts = kShortRow / kRows;  // vectors in a row
  Vec<float> columns[kShortRow];

  void read(const float* rows, int64_t stride, int64_t count) {
#pragma GCC unroll 4
    for (int64_t part = 0; part < kParts; ++part) {
      Vec<float>* block = columns + part * kRows;
#pragma GCC unroll 16
      for (int64_t i = 0; i < kRows; ++i) {
        block[i] = i < count ? load(rows + i * stride + part * kRows) : Vec<float>{};
      }
      transpose_lanes<float, 1>(block);
    }
  }

  void write(float* rows, int64_t stride, uint64_t chosen) {
#pragma GCC unroll 4
    for (int64_t part = 0; part < kParts; ++part) {
      Vec<float>* block = columns + part * kRows;
      transpose_lanes<float, 1>(block);
#pragma GCC unroll 16
      for (int64_t i = 0; i < kRows; ++i) {
        if ((chosen >> i & 1) != 0) store<float>(rows + i * stride + part * kRows, block[i]);
      }
    }
  }
};

// Weights of at most RowGroup::kRows rows. Returns a bit for every row of the contract's special cases, which
// it leaves alone.
template <class Rule>
inline uint64_t group_weights(const float* scores, float* weights, int64_t stride, int64_t count) {
  RowGroup group;
  group.read(scores, stride, count);
  Vec<float> maximum = group.columns[0];
  auto unordered = maximum != maximum;
#pragma GCC unroll 16
  for (const Vec<float>& column : group.columns) {
    maximum = larger(maximum, column);
    unordered |= column != column;
  }
  const uint64_t rows = (uint64_t{1} << count) - 1;
  const uint64_t special = rows & lane_bits<float>(unordered | ((maximum - maximum) != 0.0f));
  constexpr float kScale = static_cast<float>(Rule::kScale);
  Vec<float> y[kShortRow];  // no weight at -1 and below
#pragma GCC unroll 16
  for (int i = 0; i < kShortRow; ++i)
    y[i] = group.columns[i] = larger((group.columns[i] - maximum) * kScale, broadcast(-1.0f));
  sort_lanes(y, std::make_index_sequence<SortingNetwork::kPairs>());
  const Vec<float> tau = sorted_threshold<Rule>(y);
#pragma GCC unroll 16
  for (Vec<float>& column : group.columns) {
    column = larger(column - tau, Vec<float>{});
    if constexpr (kSquares<Rule>) column *= column;
  }
  group.write(weights, stride, rows & ~special);
  return special;
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
