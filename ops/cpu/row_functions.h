// Table of the row functions that row_functions.cpp defines once per instruction set. Plain pointers only:
// this header is seen by objects compiled for instructions that the machine may lack, so it brings in no
// inline code.
#pragma once

#include <cstdint>

namespace giantrabbit::ops::cpu {

struct RowLossSums {
  double expected;
  double power;
};

// `count` rows of `n` entries that begin `stride` entries apart.
struct RowShape {
  int64_t count;
  int64_t n;
  int64_t stride;
};

// How weights are written: into the caches, or past them, for results that would not stay there. Short rows
// and those that are not aligned to vectors go into the caches all the same.
enum class Store { cached, streamed };

// Arrays are indexed by the value of Normalizer. Meaning and contract: row_normalizer.h.
struct RowFunctions {
  void (*normalize_float[3])(const float* scores, float* weights, int64_t n, Store store);
  void (*normalize_double[3])(const double* scores, double* weights, int64_t n, Store store);
  void (*normalize_rows_float[3])(const float* scores, float* weights, RowShape shape);
  void (*normalize_rows_double[3])(const double* scores, double* weights, RowShape shape);
  void (*backward_float[3])(const float* weights, const float* grad, float* grad_scores, int64_t n);
  void (*backward_double[3])(const double* weights, const double* grad, double* grad_scores, int64_t n);
  RowLossSums (*loss_sums_float)(bool squares, const float* logits, const float* weights, int64_t n,
                                 float target);
  RowLossSums (*loss_sums_double)(bool squares, const double* logits, const double* weights, int64_t n,
                                  double target);
};

namespace baseline {
extern const RowFunctions row_functions;
}
#if defined(__x86_64__)
namespace avx2 {
extern const RowFunctions row_functions;
}
namespace avx512 {
extern const RowFunctions row_functions;
}
#endif

}  // namespace giantrabbit::ops::cpu
