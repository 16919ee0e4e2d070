// A square of numbers in vectors, as many as a vector has lanes, turned about its diagonal in registers.
// Internal to the object that includes it, like row_vectors.h.
#pragma once

#include "ops/cpu/row_vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// A step of a transposition: swaps the blocks of `distance` lanes beside the diagonal of two rows.
template <int distance, class V, size_t... lane>
inline void swap_blocks(V& upper, V& lower, std::index_sequence<lane...>) {
  constexpr int kCount = sizeof...(lane);
  const V first = __builtin_shufflevector(
      upper, lower, (int(lane) & distance ? kCount + int(lane) - distance : int(lane))...);
  lower = __builtin_shufflevector(upper, lower,
                                  (int(lane) & distance ? kCount + int(lane) : int(lane) + distance)...);
  upper = first;
}

template <class T, int distance>
inline void transpose_lanes(Vec<T>* rows) {
  constexpr int kCount = Lanes<T>::count;
  if constexpr (distance < kCount) {
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
      if ((i & distance) == 0) {
        swap_blocks<distance>(rows[i], rows[i + distance], std::make_index_sequence<kCount>());
      }
    }
    transpose_lanes<T, 2 * distance>(rows);
  }
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
