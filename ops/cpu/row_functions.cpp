// Row functions for one instruction set: GR_CAPABILITY names the namespace, the compiler's flags set the
// width. Input and output are described in row_normalizer.h. Every entry of a row, also the last few, goes
// through the same vector operations, so equal scores give equal weights. See Note [Sparsemax threshold] in
// ops/reference/sparsemax.cpp.
#include "ops/cpu/row_functions.h"

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

// The threshold functions read scores as y = (z - maximum) * scale: the largest y is 0 and tau lies in [-1,
// 0).

struct SupportSums {
  double maximum;
  double tau;
  Wide count{};
  Wide sum{};

  void add(Wide score) {
    const Wide y = score - maximum;
    count += y > tau ? Wide{} + 1.0 : Wide{};
    sum += y > tau ? y : Wide{};
  }
  void merge(const SupportSums& other) {
    count += other.count;
    sum += other.sum;
  }
};

// Michelot's iteration: every set that contains the support gives a lower bound of tau; entries below it
// leave.
template <class T>
double sparsemax_threshold(const T* scores, int64_t n, double maximum) {
  double tau = -1.0;
  for (double previous = kInfinity;;) {
    const SupportSums sums = sum_row(scores, n, -kInfinity, SupportSums{maximum, tau});
    const double members = lane_sum(sums.count);
    if (members >= previous) return tau;
    tau = (lane_sum(sums.sum) - 1.0) / members;
    previous = members;
  }
}

struct DistanceSums {
  double maximum;
  double scale;
  double tau;
  Wide count{};
  Wide sum{};
  Wide squares{};
  Wide smallest = Wide{} + kInfinity;

  void add(Wide score) {
    const Wide distance = (score - maximum) * scale - tau;
    const Wide kept = distance > 0.0 ? distance : Wide{};
    count += distance > 0.0 ? Wide{} + 1.0 : Wide{};
    sum += kept;
    squares += kept * kept;
    const Wide nearer = distance < smallest ? distance : smallest;
    smallest = distance > 0.0 ? nearer : smallest;
  }
  void merge(const DistanceSums& other) {
    count += other.count;
    sum += other.sum;
    squares += other.squares;
    smallest = other.smallest < smallest ? other.smallest : smallest;
  }
};

// Newton's iteration on |max(y - tau, 0)|_2 = 1, which is convex: from the left it stays on the left. Once
// the closed form for the current members keeps them all, it is the answer; from afar it is computed a second
// time, close by, because its differences of squares cancel.
template <class T>
double entmax15_threshold(const T* scores, int64_t n, double maximum, double scale) {
  for (double tau = -1.0;;) {
    const DistanceSums sums = sum_row(scores, n, -kInfinity, DistanceSums{maximum, scale, tau});
    const double members = lane_sum(sums.count);
    const double total = lane_sum(sums.sum);
    const double squares = lane_sum(sums.squares);
    double nearest = kInfinity;
    for (int64_t i = 0; i < kWide; ++i) nearest = sums.smallest[i] < nearest ? sums.smallest[i] : nearest;
    const double mean = total / members;
    const double room = (1.0 - (squares - total * mean)) / members;
    const double step = mean - __builtin_sqrt(room > 0.0 ? room : 0.0);
    const bool final_members = step < nearest;
    const double next = tau + (final_members ? step : (squares - __builtin_sqrt(squares)) / total);
    if ((final_members && squares < 2.0) || !(next > tau)) return final_members ? next : tau;
    tau = next;
  }
}

// Copies y of every entry with y > -1 (no other can be in the support) to `candidates` and fills the last
// vector up with -inf; the count, a multiple of kWide, or -1 if there are so many that whole-row sums are
// cheaper.
constexpr int64_t kCandidates = 512;

template <class T>
int64_t collect_candidates(const T* row, int64_t n, T maximum, T scale, double* candidates) {
  constexpr int64_t kCount = Lanes<T>::count;
  constexpr int64_t kGroup = 4 * kCount;
  const int64_t share = n / 4 > kGroup ? n / 4 : kGroup;
  const int64_t limit = share < kCandidates ? share : kCandidates;
  int64_t found = 0;
  for (int64_t i = 0; i < n; i += kGroup) {
    uint64_t bits = 0;
    for (int64_t part = 0; part < 4; ++part) {
      const int64_t begin = i + part * kCount;
      if (begin >= n) break;
      const Vec<T> scores = begin + kCount <= n
                                ? load(row + begin)
                                : load_part(row + begin, n - begin, -static_cast<T>(kInfinity));
      bits |= lane_bits<T>((scores - maximum) * scale > T(-1)) << (part * kCount);
    }
    if (found + __builtin_popcountll(bits) > limit) return -1;
    for (; bits != 0; bits &= bits - 1) {
      const double score = static_cast<double>(row[i + __builtin_ctzll(bits)]);
      candidates[found++] = (score - static_cast<double>(maximum)) * static_cast<double>(scale);
    }
  }
  while (found % kWide != 0) candidates[found++] = -kInfinity;
  return found;
}

template <class T>
void sparsemax_row(T* row, int64_t n) {
  const T maximum = row_maximum(row, n);
  if (special_row(row, n, maximum)) return;
  double candidates[kCandidates];
  const int64_t found = collect_candidates(row, n, maximum, T(1), candidates);
  const T tau = static_cast<T>(found < 0 ? sparsemax_threshold(row, n, static_cast<double>(maximum))
                                         : sparsemax_threshold(candidates, found, 0.0));
  map_row<T>(row, n, T(0), [&](Vec<T> score) {
    const Vec<T> weight = (score - maximum) - tau;
    return weight > T(0) ? weight : Vec<T>{};
  });
}

template <class T>
void entmax15_row(T* row, int64_t n) {
  const T maximum = row_maximum(row, n);
  if (special_row(row, n, maximum)) return;
  double candidates[kCandidates];
  const int64_t found = collect_candidates(row, n, maximum, T(0.5), candidates);
  const T tau = static_cast<T>(found < 0 ? entmax15_threshold(row, n, static_cast<double>(maximum), 0.5)
                                         : entmax15_threshold(candidates, found, 0.0, 1.0));
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
