// Table of the loops over rows of scores that lsh_functions.cpp defines once per instruction set. Plain types
// only: this header is seen by objects compiled for instructions that the machine may lack, so it brings in
// no inline code.
#pragma once

#include <cstdint>

namespace giantrabbit::ops::cpu {

// What a query may see among the keys of a tile: positions up to `last`, but not `self`. The positions are
// `count` numbers, whole paddings.
struct LshRow {
  const int32_t* keys;
  int64_t count;
  int32_t last;
  int32_t self;
};

// Of exp(score - top): the largest score and the sum. Nothing seen: -inf and 0; NaN or +inf seen: NaN.
template <class T>
struct LshRowSum {
  T top;
  T sum;
};

template <class T>
struct LshFunctionsOf {
  // -inf where the query may not see the key.
  void (*hide)(const LshRow& row, T* scores);
  // Scores to exp(score - top), and 0 where the query may not see the key. A spoilt row becomes NaN where it
  // may.
  LshRowSum<T> (*exponentials)(const LshRow& row, T* scores);
  // The same with a known log-sum-exp in the place of `top`.
  void (*weights)(const LshRow& row, T log_sum, T* scores);
  // Adds to the bucket of every vector `factor` times the place of the largest number in its [x, -x], the
  // first of equal ones. Vector i has the numbers x[j] = rotated[j * stride + i], j < count; `vectors` are
  // whole paddings.
  void (*add_buckets)(const T* rotated, int64_t stride, int64_t count, int64_t vectors, int64_t factor,
                      int64_t* buckets);
  // grads = scale * weights * (grads - mean), and 0 where the weight is 0.
  void (*score_grads)(const T* weights, T mean, T scale, int64_t count, T* grads);
};

struct LshFunctions {
  LshFunctionsOf<float> of_float;
  LshFunctionsOf<double> of_double;
};

namespace baseline {
extern const LshFunctions lsh_functions;
}
#if defined(__x86_64__)
namespace avx2 {
extern const LshFunctions lsh_functions;
}
namespace avx512 {
extern const LshFunctions lsh_functions;
}
#endif

}  // namespace giantrabbit::ops::cpu
