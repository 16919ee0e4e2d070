// Row functions for one instruction set: GR_CAPABILITY names the namespace, the compiler's flags set the
// width. Input and output are described in row_normalizer.h. Every entry of a row, also the last few, goes
// through the same vector operations, so equal scores give equal weights. See Note [Sparsemax threshold] in
// ops/reference/sparsemax.cpp.
#include "ops/cpu/row_functions.h"

#include "ops/cpu/row_lanes.h"
#include "ops/cpu/row_streams.h"
#include "ops/cpu/row_threshold.h"
#include "ops/cpu/row_wide.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// The largest entry that is a number; -inf if there is none.
template <class T>
[[gnu::always_inline]] inline RowPeak<T> row_peak(const T* row, int64_t n) {
  constexpr int64_t kCount = Lanes<T>::count;
  constexpr T kLowest = -static_cast<T>(kInfinity);
  Vec<T> best[4];
  for (auto& vec : best) vec = broadcast(kLowest);
  int64_t i = 0;
  for (; i + 4 * kCount <= n; i += 4 * kCount) {
    for (int64_t part = 0; part < 4; ++part) best[part] = larger(load(row + i + part * kCount), best[part]);
  }
  for (; i + kCount <= n; i += kCount) best[0] = larger(load(row + i), best[0]);
  if (i < n) best[1] = larger(load_part(row + i, n - i, kLowest), best[1]);
  const Vec<T> lanes = larger(larger(best[0], best[1]), larger(best[2], best[3]));
  return {lanes, lane_maximum<T>(lanes)};
}

template <class T>
void fill_row(T* row, int64_t n, T value) {
  for (int64_t i = 0; i < n; ++i) row[i] = value;
}

// Writes the row of the contract's special cases that the maximum shows; false if it shows none.
template <class T>
bool special_row(const T* scores, T* weights, int64_t n, T maximum) {
  if (maximum - maximum == T(0)) return false;
  const bool spoilt = maximum > T(0) || has_nan(scores, n);
  fill_row(weights, n, spoilt ? static_cast<T>(__builtin_nan("")) : T(0));
  return true;
}

template <class T>
void softmax_row(const T* scores, T* weights, int64_t n, Store /*store*/) {
  const T maximum = row_peak(scores, n).maximum;
  if (special_row(scores, weights, n, maximum)) return;
  Wide total{};
  auto unordered = Vec<T>{} != Vec<T>{};
  for (int64_t begin = 0; begin < n; begin += kBlock<T>) {  // at most 8 float additions per lane, then double
    Vec<T> sum{};
    const int64_t length = n - begin < kBlock<T> ? n - begin : kBlock<T>;
    map_row<T>(scores + begin, weights + begin, length, -static_cast<T>(kInfinity), [&](Vec<T> score) {
      unordered |= score != score;
      const Vec<T> weight = exponential<T>(score - maximum);
      sum += weight;
      return weight;
    });
    total += wide_sum(sum);
  }
  if (lane_bits<T>(unordered) != 0) return fill_row(weights, n, static_cast<T>(__builtin_nan("")));
  const T factor = static_cast<T>(1.0 / lane_sum(total));
  map_row<T>(weights, weights, n, T(0), [&](Vec<T> weight) { return weight * factor; });
}

// weight(y, tau) is the weight of entries y, that is 0 where y <= tau.
template <class Rule, class T, class Weight>
[[gnu::noinline]] void wide_row(const T* scores, T* weights, int64_t n, Store store, Weight weight) {
  RowBlocks<T> blocks(n);
  const RowPeak<T> peak = blocks.read(scores);
  if (special_row(scores, weights, n, peak.maximum)) return;
  const T tau = wide_threshold<Rule>(scores, n, blocks, peak);
  const auto weigh = [&](Vec<T> score) { return weight(score - peak.maximum, tau); };
  const bool streams = store == Store::streamed && is_aligned(weights);
  blocks.for_each([&](int64_t begin, int64_t length, Vec<T> largest) {
    const bool zeros = lane_bits<T>(weigh(largest) != T(0)) == 0;
    if (streams) {
      stream_row<T>(scores + begin, weights + begin, length, zeros, weigh);
    } else if (zeros) {
      fill_row(weights + begin, length, T(0));
    } else {
      map_row<T>(scores + begin, weights + begin, length, T(0), weigh);
    }
  });
  if (streams) finish_streams();
}

// Fetches the row behind the current one, likely the next; rows in place are in the cache already.
template <class T>
void fetch_row(const T* row, int64_t n) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < n; i += kLine) __builtin_prefetch(row + i);
}

template <class Rule, class T, class Weight>
[[gnu::always_inline]] inline void sparse_row(const T* scores, T* weights, int64_t n, Store store,
                                              Weight weight) {
  if (n >= kWideRow<T>) return wide_row<Rule>(scores, weights, n, store, weight);
  const RowPeak<T> peak = row_peak(scores, n);
  if (special_row(scores, weights, n, peak.maximum)) return;
  const T tau = row_threshold<Rule>(scores, n, peak);
  if (tau != tau) return fill_row(weights, n, tau);
  if (scores != weights) fetch_row(scores + n, n);
  map_row<T>(scores, weights, n, T(0), [&](Vec<T> score) { return weight(score - peak.maximum, tau); });
}

template <class T>
void sparsemax_row(const T* scores, T* weights, int64_t n, Store store) {
  sparse_row<SparsemaxRule>(scores, weights, n, store,
                            [](Vec<T> y, T tau) { return larger(y - tau, Vec<T>{}); });
}

template <class T>
void entmax15_row(const T* scores, T* weights, int64_t n, Store store) {
  sparse_row<Entmax15Rule>(scores, weights, n, store, [](Vec<T> y, T tau) {
    const Vec<T> root = larger(y * T(0.5) - tau, Vec<T>{});
    return root * root;
  });
}

template <class T, void (*row)(const T*, T*, int64_t, Store)>
void each_row(const T* scores, T* weights, RowShape shape) {
  for (int64_t i = 0; i < shape.count; ++i)
    row(scores + i * shape.stride, weights + i * shape.stride, shape.n, Store::cached);
}

template <class Rule, void (*row)(const float*, float*, int64_t, Store)>
void sparse_rows(const float* scores, float* weights, RowShape shape) {
  if (shape.n != kShortRow) return each_row<float, row>(scores, weights, shape);
  for (int64_t first = 0; first < shape.count; first += RowGroup::kRows) {
    const int64_t left = shape.count - first;
    const int64_t offset = first * shape.stride;
    uint64_t special = group_weights<Rule>(scores + offset, weights + offset, shape.stride,
                                           left < RowGroup::kRows ? left : RowGroup::kRows);
    for (; special != 0; special &= special - 1) {
      const int64_t i = offset + __builtin_ctzll(special) * shape.stride;
      row(scores + i, weights + i, shape.n, Store::cached);
    }
  }
}

// Backward. `weights == 0` selects, rather than multiplies, so that an infinite gradient outside the support
// is harmless.

template <class T>
void softmax_row_backward(const T* weights, const T* grad, T* grad_scores, int64_t n) {
  const auto sums = sum_pair(weights, grad, n, [](Vec<T> weight, Vec<T> g, Vec<T>& dot, Vec<T>&) {
    dot += weight == T(0) ? Vec<T>{} : weight * g;
  });
  const T dot = static_cast<T>(sums.first);
  map_pair<T>(weights, grad, grad_scores, n,
              [&](Vec<T> weight, Vec<T> g) { return weight == T(0) ? Vec<T>{} : weight * (g - dot); });
}

template <class T>
void sparsemax_row_backward(const T* weights, const T* grad, T* grad_scores, int64_t n) {
  const auto sums = sum_pair(weights, grad, n, [](Vec<T> weight, Vec<T> g, Vec<T>& total, Vec<T>& count) {
    total += weight == T(0) ? Vec<T>{} : g;
    count += weight == T(0) ? Vec<T>{} : broadcast(T(1));
  });
  const T mean = static_cast<T>(sums.first / sums.second);
  map_pair<T>(weights, grad, grad_scores, n, [&](Vec<T> weight, Vec<T> g) {
    const Vec<T> not_a_number = weight - weight;  // 0 for every finite weight
    return weight == T(0) ? Vec<T>{} : (g - mean) + not_a_number;
  });
}

template <class T>
void entmax15_row_backward(const T* weights, const T* grad, T* grad_scores, int64_t n) {
  const auto sums = sum_pair(weights, grad, n, [](Vec<T> weight, Vec<T> g, Vec<T>& dot, Vec<T>& total) {
    const Vec<T> root = square_root(weight);
    dot += weight == T(0) ? Vec<T>{} : root * g;
    total += root;
  });
  const T mean = static_cast<T>(sums.first / sums.second);
  map_pair<T>(weights, grad, grad_scores, n, [&](Vec<T> weight, Vec<T> g) {
    return weight == T(0) ? Vec<T>{} : square_root(weight) * (g - mean);
  });
}

// Sums of the Fenchel-Young losses, over the support in double.

struct LossSums {
  double target;
  bool squares;
  Wide expected{};
  Wide power{};

  void add(Wide weight, Wide logit) {
    expected += weight == 0.0 ? Wide{} : weight * (logit - target);
    power += weight * (squares ? weight : square_root(weight));
  }
};

template <class T>
RowLossSums loss_sums(bool squares, const T* logits, const T* weights, int64_t n, T target) {
  LossSums sums{static_cast<double>(target), squares};
  for (int64_t begin = 0; begin < n; begin += kBlock<T>) {
    const int64_t end = begin + kBlock<T> < n ? begin + kBlock<T> : n;
    if (all_zero(weights + begin, end - begin)) continue;
    int64_t i = begin;
    for (; i + kWide <= end; i += kWide) sums.add(load_wide(weights + i), load_wide(logits + i));
    if (i < end) {
      sums.add(load_wide_part(weights + i, end - i, 0.0), load_wide_part(logits + i, end - i, 0.0));
    }
  }
  return {lane_sum(sums.expected), lane_sum(sums.power)};
}

}  // namespace

const RowFunctions row_functions = {
    {softmax_row<float>, sparsemax_row<float>, entmax15_row<float>},
    {softmax_row<double>, sparsemax_row<double>, entmax15_row<double>},
    {each_row<float, softmax_row<float>>, sparse_rows<SparsemaxRule, sparsemax_row<float>>,
     sparse_rows<Entmax15Rule, entmax15_row<float>>},
    {each_row<double, softmax_row<double>>, each_row<double, sparsemax_row<double>>,
     each_row<double, entmax15_row<double>>},
    {softmax_row_backward<float>, sparsemax_row_backward<float>, entmax15_row_backward<float>},
    {softmax_row_backward<double>, sparsemax_row_backward<double>, entmax15_row_backward<double>},
    loss_sums<float>,
    loss_sums<double>,
};

}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
