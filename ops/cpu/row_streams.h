// Rows that are written past the caches, for results that would push each other out before anybody reads
// them. Part of row_functions.cpp, compiled once per instruction set.
#pragma once

#include "ops/cpu/row_loops.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

template <class T>
inline bool is_aligned(const T* to) {
  return reinterpret_cast<uintptr_t>(to) % sizeof(Vec<T>) == 0;
}

// A store past the caches; `to` is aligned.
template <class T>
inline void stream(T* to, Vec<T> vec) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), (__m512i)vec);
#elif defined(__AVX2__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), (__m256i)vec);
#else
  store<T>(to, vec);
#endif
}

inline void finish_streams() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// map_row() past the caches, to whole vectors that are aligned; with `zeros` function is known to give those.
// Other threads see the result after finish_streams().
template <class T, class Function>
inline void stream_row(const T* from, T* to, int64_t n, bool zeros, Function function) {
  int64_t i = 0;
  for (; i + Lanes<T>::count <= n; i += Lanes<T>::count) {
    stream<T>(to + i, zeros ? Vec<T>{} : function(load(from + i)));
  }
  map_row<T>(from + i, to + i, n - i, T(0), function);
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
