// Rows of scores of lsh_attention for one instruction set: GR_CAPABILITY names the namespace, the compiler's
// flags set the width. Input and output are described in lsh_functions.h. Rows are whole paddings, so there
// are whole vectors only.
#include "ops/cpu/lsh_functions.h"

#include "ops/cpu/row_loops.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

template <class T>
using Bits = decltype(Vec<T>{} > Vec<T>{});  // signed integers of T's width
typedef int32_t Positions __attribute__((vector_size(kBytes)));
typedef int32_t HalfPositions __attribute__((vector_size(kBytes / 2)));

// Positions as integers of T's width.
template <class T>
inline Bits<T> positions(const int32_t* from) {
  if constexpr (sizeof(T) == 4) {
    Positions vec;
    __builtin_memcpy(&vec, from, sizeof(vec));
    return (Bits<T>)vec;
  } else {
    HalfPositions half;
    __builtin_memcpy(&half, from, sizeof(half));
    return __builtin_convertvector(half, Bits<T>);
  }
}

// function(first column, lanes that the query may see) for every vector of the row.
template <class T, class Function>
inline void for_each_vector(const LshRow& row, Function function) {
  using Number = decltype(Bits<T>{}[0] + 0);
  for (int64_t j = 0; j < row.count; j += Lanes<T>::count) {
    const Bits<T> keys = positions<T>(row.keys + j);
    function(j, (keys <= static_cast<Number>(row.last)) & (keys != static_cast<Number>(row.self)));
  }
}

template <class T>
void hide(const LshRow& row, T* scores) {
  for_each_vector<T>(row, [&](int64_t j, Bits<T> seen) {
    store<T>(scores + j, seen ? load(scores + j) : broadcast(-static_cast<T>(kInfinity)));
  });
}

template <class T>
void spoil(const LshRow& row, T* scores) {
  for_each_vector<T>(row, [&](int64_t j, Bits<T> seen) {
    store<T>(scores + j, seen ? broadcast(static_cast<T>(__builtin_nan(""))) : Vec<T>{});
  });
}

// At most 8 additions of T per lane, then double.
template <class T>
struct LaneSums {
  Wide total{};
  Vec<T> sum{};
  int additions = 0;

  void add(Vec<T> vec) {
    sum += vec;
    if (++additions < 8) return;
    total += wide_sum(sum);
    sum = Vec<T>{};
    additions = 0;
  }
  T result() const { return static_cast<T>(lane_sum(total + wide_sum(sum))); }
};

template <class T>
LshRowSum<T> exponentials(const LshRow& row, T* scores) {
  constexpr T kNothing = -static_cast<T>(kInfinity);
  Vec<T> lanes = broadcast(kNothing);
  Bits<T> unordered{};
  for_each_vector<T>(row, [&](int64_t j, Bits<T> seen) {
    const Vec<T> score = seen ? load(scores + j) : broadcast(kNothing);
    unordered |= score != score;
    lanes = larger(score, lanes);
    store<T>(scores + j, score);
  });
  const T top = lane_maximum<T>(lanes);
  if (top > 0 && top - top != T(0)) unordered = ~Bits<T>{};
  if (lane_bits<T>(unordered) != 0) {
    spoil(row, scores);
    return {static_cast<T>(__builtin_nan("")), static_cast<T>(__builtin_nan(""))};
  }
  LaneSums<T> sums;
  for (int64_t j = 0; j < row.count; j += Lanes<T>::count) {
    const Vec<T> weight = top == kNothing ? Vec<T>{} : exponential<T>(load(scores + j) - top);
    sums.add(weight);
    store<T>(scores + j, weight);
  }
  return {top, sums.result()};
}

template <class T>
void weights(const LshRow& row, T log_sum, T* scores) {
  if (log_sum != log_sum) return spoil(row, scores);
  for_each_vector<T>(row, [&](int64_t j, Bits<T> seen) {
    store<T>(scores + j, seen ? exponential<T>(load(scores + j) - log_sum) : Vec<T>{});
  });
}

// The largest number of [row, -row] is at least 0, so zeros behind the row do not count.
template <class T>
int64_t bucket(const T* row, int64_t count) {
  constexpr int64_t kCount = Lanes<T>::count;
  const auto part = [&](int64_t j) {
    return j + kCount <= count ? load(row + j) : load_part(row + j, count - j, T(0));
  };
  Vec<T> lanes{};
  for (int64_t j = 0; j < count; j += kCount) lanes = larger(larger(part(j), -part(j)), lanes);
  const T largest = lane_maximum<T>(lanes);
  for (const T wanted : {largest, -largest}) {
    for (int64_t j = 0; j < count; j += kCount) {
      const uint64_t bits = lane_bits<T>(part(j) == broadcast(wanted));
      if (bits != 0) return (wanted == largest ? 0 : count) + j + __builtin_ctzll(bits);
    }
  }
  return 0;  // not a number
}

template <class T>
void score_grads(const T* weights, T mean, T scale, int64_t count, T* grads) {
  for (int64_t j = 0; j < count; j += Lanes<T>::count) {
    const Vec<T> weight = load(weights + j);
    store<T>(grads + j, weight == T(0) ? Vec<T>{} : scale * weight * (load(grads + j) - mean));
  }
}

}  // namespace

const LshFunctions lsh_functions = {
    {hide<float>, exponentials<float>, weights<float>, bucket<float>, score_grads<float>},
    {hide<double>, exponentials<double>, weights<double>, bucket<double>, score_grads<double>},
};

}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
