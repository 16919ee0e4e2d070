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

// The largest number of several rows, lane by lane, and the first row that has it.
template <class T>
struct Largest {
  Vec<T> value;
  Bits<T> place{};

  void offer(Vec<T> other, Bits<T> at) {
    const Bits<T> better = other > value;
    value = better ? other : value;
    place = better ? at : place;
  }
};

template <class T>
void add_buckets(const T* rotated, int64_t stride, int64_t count, int64_t vectors, int64_t factor,
                 int64_t* buckets) {
  for (int64_t i = 0; i < vectors; i += Lanes<T>::count) {
    Largest<T> above{load(rotated + i)};
    Largest<T> below{-load(rotated + i)};
    Bits<T> place{};
    for (int64_t j = 1; j < count; ++j) {
      place += 1;
      const Vec<T> x = load(rotated + j * stride + i);
      above.offer(x, place);
      below.offer(-x, place);
    }
    above.offer(below.value, below.place + static_cast<decltype(place[0] + 0)>(count));
    for (int64_t lane = 0; lane < Lanes<T>::count; ++lane) buckets[i + lane] += factor * above.place[lane];
  }
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
    {hide<float>, exponentials<float>, weights<float>, add_buckets<float>, score_grads<float>},
    {hide<double>, exponentials<double>, weights<double>, add_buckets<double>, score_grads<double>},
};

}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
