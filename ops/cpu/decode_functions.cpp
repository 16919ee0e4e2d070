// Scores, weighted sums of values and softmax sums over rows of a key/value cache for one instruction set:
// GR_CAPABILITY names the namespace, the compiler's flags set the width. Input and output are described in
// decode_functions.h. Every score comes out of dot_group, so that it depends on its key and query alone and
// not on the way by which it was asked for.
#include "ops/cpu/decode_functions.h"

#include "ops/cpu/key_filter.h"
#include "ops/cpu/row_loops.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

constexpr int kLanes = static_cast<int>(Lanes<float>::count);
using Floats = Vec<float>;

template <int... lanes>
struct LaneNumbers {};
template <int count, int... lanes>
struct CountLanes : CountLanes<count - 1, count - 1, lanes...> {};
template <int... lanes>
struct CountLanes<0, lanes...> {
  using type = LaneNumbers<lanes...>;
};

// Every row has `width` partial sums next to one another. `a` holds the first rows and `b` the others; the
// result has half as many partial sums for all of them.
template <int width>
constexpr int partial_lane(int lane, int half) {
  constexpr int kRows = kLanes / width;
  const int row = lane / (width / 2);
  const int place = row % kRows * width + half * (width / 2) + lane % (width / 2);
  return row < kRows ? place : place + kLanes;
}

template <int width, int... lanes>
inline Floats folded(Floats a, Floats b, LaneNumbers<lanes...> /*all*/) {
  return __builtin_shufflevector(a, b, partial_lane<width>(lanes, 0)...) +
         __builtin_shufflevector(a, b, partial_lane<width>(lanes, 1)...);
}

template <int width>
inline Floats fold_all(const Floats* partial) {
  using All = typename CountLanes<kLanes>::type;
  if constexpr (width == 2) {
    return folded<kLanes>(partial[0], partial[1], All{});
  } else {
    return folded<2 * kLanes / width>(fold_all<width / 2>(partial), fold_all<width / 2>(partial + width / 2),
                                      All{});
  }
}

// The products of a query with kLanes rows, one row after the other: the processor's own prefetching likes
// that better than rows in turns or prefetch instructions. `vectors` of the query stay in registers, or it is
// read again for every row (0).
template <int vectors>
[[gnu::noinline]] Floats dot_group(const float* query, const float* const* rows, int64_t stride) {
  Floats held[vectors + 1] = {};
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) held[v] = load(query + v * kLanes);
  Floats partial[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    Floats sum = {};
    if constexpr (vectors == 0) {
      for (int64_t k = 0; k < stride; k += kLanes) sum += load(query + k) * load(rows[i] + k);
    } else {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum += held[v] * load(rows[i] + v * kLanes);
    }
    partial[i] = sum;
  }
  return fold_all<kLanes>(partial);
}

// A score comes out of the same function however it was asked for.
Floats dot_rows(const float* query, const float* const* rows, int64_t stride) {
  switch (stride / kLanes) {
    case 1:
      return dot_group<1>(query, rows, stride);
    case 2:
      return dot_group<2>(query, rows, stride);
    case 4:
      return dot_group<4>(query, rows, stride);
    default:
      return dot_group<0>(query, rows, stride);
  }
}

template <class RowAt>
inline void score_all(const float* query, CacheRows keys, int64_t count, float scale, float* scores,
                      RowAt row_at) {
  const float* rows[kLanes];
  for (int64_t i = 0; i < count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const int64_t place = i + lane < count ? i + lane : count - 1;
      rows[lane] = keys.data + row_at(place) * keys.stride;
    }
    const Floats result = dot_rows(query, rows, keys.stride) * scale;
    if (i + kLanes <= count) {
      __builtin_memcpy(scores + i, &result, sizeof(result));
    } else {
      store_part<float>(scores + i, count - i, result);
    }
  }
}

void score_rows(const float* query, CacheRows keys, int64_t begin, int64_t count, float scale,
                float* scores) {
  score_all(query, keys, count, scale, scores, [=](int64_t i) { return begin + i; });
}

void score_listed(const float* query, CacheRows keys, const int64_t* list, int64_t count, float scale,
                  float* scores) {
  for (int64_t i = 0; i < count; ++i) {
    const float* row = keys.data + list[i] * keys.stride;
    for (int64_t k = 0; k < keys.stride; k += 16) __builtin_prefetch(row + k);
  }
  score_all(query, keys, count, scale, scores, [=](int64_t i) { return list[i]; });
}

// `vectors` columns of vectors; even and odd rows have sums of their own, because one chain of dependent
// additions is slower than the loads.
template <int vectors, class RowAt>
inline void add_columns(const float* weights, const float* values, int64_t stride, int64_t count, float* sum,
                        RowAt row_at) {
  Floats even[vectors];
  Floats odd[vectors] = {};
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) even[v] = load(sum + v * kLanes);
  int64_t i = 0;
  for (; i + 2 <= count; i += 2) {
    const float* first = values + row_at(i) * stride;
    const float* second = values + row_at(i + 1) * stride;
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      even[v] += weights[i] * load(first + v * kLanes);
      odd[v] += weights[i + 1] * load(second + v * kLanes);
    }
  }
  if (i < count) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) even[v] += weights[i] * load(values + row_at(i) * stride + v * kLanes);
  }
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) {
    const Floats total = even[v] + odd[v];
    __builtin_memcpy(sum + v * kLanes, &total, sizeof(total));
  }
}

template <class RowAt>
inline void add_all(const float* weights, CacheRows values, int64_t count, float* sum, RowAt row_at) {
  constexpr int kColumns = 4 * kLanes;
  int64_t column = 0;
  for (; column + kColumns <= values.stride; column += kColumns) {
    add_columns<4>(weights, values.data + column, values.stride, count, sum + column, row_at);
  }
  for (; column + 2 * kLanes <= values.stride; column += 2 * kLanes) {
    add_columns<2>(weights, values.data + column, values.stride, count, sum + column, row_at);
  }
  if (column < values.stride) {
    add_columns<1>(weights, values.data + column, values.stride, count, sum + column, row_at);
  }
}

void add_rows(const float* weights, CacheRows values, int64_t begin, int64_t count, float* sum) {
  add_all(weights, values, count, sum, [=](int64_t i) { return begin + i; });
}

void add_listed(const float* weights, CacheRows values, const int64_t* list, int64_t count, float* sum) {
  for (int64_t i = 0; i < count; ++i) {
    const float* row = values.data + list[i] * values.stride;
    for (int64_t k = 0; k < values.stride; k += 16) __builtin_prefetch(row + k);
  }
  add_all(weights, values, count, sum, [=](int64_t i) { return list[i]; });
}

SoftmaxSums exponentials(float* scores, int64_t count) {
  constexpr float kLowest = -static_cast<float>(kInfinity);
  Floats best = Floats{} + kLowest;
  auto unordered = best != best;
  for (int64_t i = 0; i < count; i += kLanes) {
    const Floats vec = i + kLanes <= count ? load(scores + i) : load_part(scores + i, count - i, kLowest);
    unordered |= vec != vec;
    best = vec > best ? vec : best;
  }
  float maximum = kLowest;
  for (int lane = 0; lane < kLanes; ++lane) maximum = best[lane] > maximum ? best[lane] : maximum;
  if (lane_bits<float>(unordered) != 0 || maximum == -kLowest) {
    return {static_cast<float>(__builtin_nan("")), 0.0};
  }
  if (maximum == kLowest) {
    for (int64_t i = 0; i < count; ++i) scores[i] = 0.0F;
    return {maximum, 0.0};
  }
  double sum = 0.0;
  Floats partial{};
  for (int64_t i = 0; i < count; i += kLanes) {
    const bool whole = i + kLanes <= count;
    const Floats score = whole ? load(scores + i) : load_part(scores + i, count - i, kLowest);
    const Floats weight = exponential<float>(score - maximum);
    partial += weight;
    if (whole) {
      __builtin_memcpy(scores + i, &weight, sizeof(weight));
    } else {
      store_part<float>(scores + i, count - i, weight);
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) sum += static_cast<double>(partial[lane]);
  return {maximum, sum};
}

float largest(const float* numbers, int64_t count) {
  constexpr float kLowest = -static_cast<float>(kInfinity);
  Floats best = Floats{} + kLowest;
  for (int64_t i = 0; i < count; i += kLanes) {
    const Floats vec = i + kLanes <= count ? load(numbers + i) : load_part(numbers + i, count - i, kLowest);
    best = vec > best ? vec : best;
  }
  float maximum = best[0];
  for (int lane = 1; lane < kLanes; ++lane) maximum = best[lane] > maximum ? best[lane] : maximum;
  return maximum;
}

int64_t nonzeros(const float* weights, int64_t count, int64_t base, int64_t* list) {
  int64_t found = 0;
  for (int64_t i = 0; i < count; i += kLanes) {
    const Floats vec = i + kLanes <= count ? load(weights + i) : load_part(weights + i, count - i, 0.0F);
    for (uint64_t bits = lane_bits<float>(vec != 0.0F); bits != 0; bits &= bits - 1) {
      list[found++] = base + i + __builtin_ctzll(bits);
    }
  }
  return found;
}

}  // namespace

const DecodeFunctions decode_functions = {score_rows,   score_listed, add_rows,    add_listed,
                                          exponentials, largest,      nonzeros,    kEncodePage,
                                          kEncodeQuery, kFilterPages, kBallBounds, kCandidateKeys};

}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
