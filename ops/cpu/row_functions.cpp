// Row functions for one instruction set: GR_CAPABILITY names the namespace, the compiler's flags set the
// width. Input and output are described in row_normalizer.h. Every entry of a row, also the last few, goes
// through the same vector operations, so equal scores give equal weights. See Note [Sparsemax threshold] in
// ops/reference/sparsemax.cpp.
#include "ops/cpu/row_functions.h"

#include "ops/cpu/row_threshold.h"
#include "ops/cpu/row_vectors.h"

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
void softmax_row(const T* scores, T* weights, int64_t n) {
  const T maximum = row_peak(scores, n).maximum;
  if (special_row(scores, weights, n, maximum)) return;
  constexpr int64_t kBlock = 8 * Lanes<T>::count;  // at most 8 float additions per lane, then double
  Wide total{};
  auto unordered = Vec<T>{} != Vec<T>{};
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    Vec<T> sum{};
    const int64_t length = n - begin < kBlock ? n - begin : kBlock;
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

template <class T>
void sparsemax_row(const T* scores, T* weights, int64_t n) {
  const RowPeak<T> peak = row_peak(scores, n);
  const T maximum = peak.maximum;
  if (special_row(scores, weights, n, maximum)) return;
  const T tau = row_threshold<SparsemaxRule>(scores, n, peak);
  if (tau != tau) return fill_row(weights, n, tau);
  map_row<T>(scores, weights, n, T(0),
             [&](Vec<T> score) { return larger((score - maximum) - tau, Vec<T>{}); });
}

template <class T>
void entmax15_row(const T* scores, T* weights, int64_t n) {
  const RowPeak<T> peak = row_peak(scores, n);
  const T maximum = peak.maximum;
  if (special_row(scores, weights, n, maximum)) return;
  const T tau = row_threshold<Entmax15Rule>(scores, n, peak);
  if (tau != tau) return fill_row(weights, n, tau);
  map_row<T>(scores, weights, n, T(0), [&](Vec<T> score) {
    const Vec<T> root = larger((score - maximum) * T(0.5) - tau, Vec<T>{});
    return root * root;
  });
}

// Backward. `weights == 0` selects, rather than multiplies, so that an infinite gradient outside the support
// is harmless.

struct WeightedSums {
  Wide dot{};

  void add(Wide weight, Wide g) { dot += weight == 0.0 ? Wide{} : weight * g; }
  void merge(const WeightedSums& other) { dot += other.dot; }
};

template <class T>
void softmax_row_backward(const T* weights, const T* grad, T* grad_scores, int64_t n) {
  const T dot = static_cast<T>(lane_sum(sum_pair<WeightedSums>(weights, grad, n).dot));
  map_pair<T>(weights, grad, grad_scores, n,
              [&](Vec<T> weight, Vec<T> g) { return weight == T(0) ? Vec<T>{} : weight * (g - dot); });
}

struct MemberSums {
  Wide count{};
  Wide sum{};

  void add(Wide weight, Wide g) {
    count += weight == 0.0 ? Wide{} : broadcast(1.0);
    sum += weight == 0.0 ? Wide{} : g;
  }
  void merge(const MemberSums& other) {
    count += other.count;
    sum += other.sum;
  }
};

template <class T>
void sparsemax_row_backward(const T* weights, const T* grad, T* grad_scores, int64_t n) {
  const auto sums = sum_pair<MemberSums>(weights, grad, n);
  const T mean = static_cast<T>(lane_sum(sums.sum) / lane_sum(sums.count));
  map_pair<T>(weights, grad, grad_scores, n, [&](Vec<T> weight, Vec<T> g) {
    const Vec<T> not_a_number = weight - weight;  // 0 for every finite weight
    return weight == T(0) ? Vec<T>{} : (g - mean) + not_a_number;
  });
}

struct RootSums {
  Wide sum{};
  Wide dot{};

  void add(Wide weight, Wide g) {
    const Wide root = square_root(weight);
    sum += root;
    dot += weight == 0.0 ? Wide{} : root * g;
  }
  void merge(const RootSums& other) {
    sum += other.sum;
    dot += other.dot;
  }
};

template <class T>
void entmax15_row_backward(const T* weights, const T* grad, T* grad_scores, int64_t n) {
  const auto sums = sum_pair<RootSums>(weights, grad, n);
  const T mean = static_cast<T>(lane_sum(sums.dot) / lane_sum(sums.sum));
  map_pair<T>(weights, grad, grad_scores, n, [&](Vec<T> weight, Vec<T> g) {
    return weight == T(0) ? Vec<T>{} : square_root(weight) * (g - mean);
  });
}

}  // namespace

const RowFunctions row_functions = {
    {softmax_row<float>, sparsemax_row<float>, entmax15_row<float>},
    {softmax_row<double>, sparsemax_row<double>, entmax15_row<double>},
    {softmax_row_backward<float>, sparsemax_row_backward<float>, entmax15_row_backward<float>},
    {softmax_row_backward<double>, sparsemax_row_backward<double>, entmax15_row_backward<double>},
};

}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
