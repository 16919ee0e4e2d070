// Row functions for one instruction set: GR_CAPABILITY names the namespace, the compiler's flags set the
// width. Input and output are described in row_normalizer.h. Every entry of a row, also the last few, goes
// through the same vector operations, so equal scores give equal weights. See Note [Sparsemax threshold] in
// ops/reference/sparsemax.cpp.
#include "ops/cpu/row_functions.h"

#include "ops/cpu/row_threshold.h"
#include "ops/cpu/row_vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// The largest entry; NaN if the row has a NaN or a +inf, -inf if nothing is permitted.
template <class T>
T row_maximum(const T* row, int64_t n) {
  constexpr int64_t kCount = Lanes<T>::count;
  constexpr T kLowest = -static_cast<T>(kInfinity);
  Vec<T> best[4];
  for (auto& vec : best) vec = Vec<T>{} + kLowest;
  auto unordered = best[0] != best[0];
  int64_t i = 0;
  for (; i + 4 * kCount <= n; i += 4 * kCount) {
    for (int64_t part = 0; part < 4; ++part) {
      const Vec<T> vec = load(row + i + part * kCount);
      unordered |= vec != vec;
      best[part] = vec > best[part] ? vec : best[part];
    }
  }
  for (; i < n; i += kCount) {
    const Vec<T> vec = i + kCount <= n ? load(row + i) : load_part(row + i, n - i, kLowest);
    unordered |= vec != vec;
    best[0] = vec > best[0] ? vec : best[0];
  }
  for (int64_t part = 1; part < 4; ++part) best[0] = best[part] > best[0] ? best[part] : best[0];
  T maximum = kLowest;
  for (int64_t lane = 0; lane < kCount; ++lane) maximum = best[0][lane] > maximum ? best[0][lane] : maximum;
  const bool spoilt = lane_bits<T>(unordered) != 0 || maximum == static_cast<T>(kInfinity);
  return spoilt ? static_cast<T>(__builtin_nan("")) : maximum;
}

// Writes the row of the contract's special cases; false if the row is an ordinary one.
template <class T>
bool special_row(T* row, int64_t n, T maximum) {
  const bool nothing_permitted = maximum == -static_cast<T>(kInfinity);
  if (maximum == maximum && !nothing_permitted) return false;
  const T value = nothing_permitted ? T(0) : maximum;
  for (int64_t i = 0; i < n; ++i) row[i] = value;
  return true;
}

template <class T>
void softmax_row(T* row, int64_t n) {
  const T maximum = row_maximum(row, n);
  if (special_row(row, n, maximum)) return;
  constexpr int64_t kBlock = 8 * Lanes<T>::count;  // at most 8 float additions per lane, then double
  Wide total{};
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    Vec<T> sum{};
    const int64_t length = n - begin < kBlock ? n - begin : kBlock;
    map_row<T>(row + begin, length, -static_cast<T>(kInfinity), [&](Vec<T> score) {
      const Vec<T> weight = exponential<T>(score - maximum);
      sum += weight;
      return weight;
    });
    total += widened(sum);
  }
  const T factor = static_cast<T>(1.0 / lane_sum(total));
  map_row<T>(row, n, T(0), [&](Vec<T> weight) { return weight * factor; });
}

template <class T>
void sparsemax_row(T* row, int64_t n) {
  const T maximum = row_maximum(row, n);
  if (special_row(row, n, maximum)) return;
  const T tau = row_threshold<SparsemaxRule>(row, n, maximum);
  map_row<T>(row, n, T(0), [&](Vec<T> score) {
    const Vec<T> weight = (score - maximum) - tau;
    return weight > T(0) ? weight : Vec<T>{};
  });
}

template <class T>
void entmax15_row(T* row, int64_t n) {
  const T maximum = row_maximum(row, n);
  if (special_row(row, n, maximum)) return;
  const T tau = row_threshold<Entmax15Rule>(row, n, maximum);
  map_row<T>(row, n, T(0), [&](Vec<T> score) {
    const Vec<T> root = (score - maximum) * T(0.5) - tau;
    return root > T(0) ? root * root : Vec<T>{};
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
void softmax_row_backward(const T* weights, T* grad, int64_t n) {
  const T dot = static_cast<T>(lane_sum(sum_pair<WeightedSums>(weights, grad, n).dot));
  map_pair<T>(weights, grad, n,
              [&](Vec<T> weight, Vec<T> g) { return weight == T(0) ? Vec<T>{} : weight * (g - dot); });
}

struct MemberSums {
  Wide count{};
  Wide sum{};

  void add(Wide weight, Wide g) {
    count += weight == 0.0 ? Wide{} : Wide{} + 1.0;
    sum += weight == 0.0 ? Wide{} : g;
  }
  void merge(const MemberSums& other) {
    count += other.count;
    sum += other.sum;
  }
};

template <class T>
void sparsemax_row_backward(const T* weights, T* grad, int64_t n) {
  const auto sums = sum_pair<MemberSums>(weights, grad, n);
  const T mean = static_cast<T>(lane_sum(sums.sum) / lane_sum(sums.count));
  map_pair<T>(weights, grad, n, [&](Vec<T> weight, Vec<T> g) {
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
void entmax15_row_backward(const T* weights, T* grad, int64_t n) {
  const auto sums = sum_pair<RootSums>(weights, grad, n);
  const T mean = static_cast<T>(lane_sum(sums.dot) / lane_sum(sums.sum));
  map_pair<T>(weights, grad, n, [&](Vec<T> weight, Vec<T> g) {
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
