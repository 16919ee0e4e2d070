// Table of the row functions that row_functions.cpp defines once per instruction set. Plain pointers only:
// this header is seen by objects compiled for instructions that the machine may lack, so it brings in no
// inline code.
#pragma once

#include <cstdint>

namespace giantrabbit::ops::cpu {

// Arrays are indexed by the value of Normalizer. Meaning and contract: row_normalizer.h.
struct RowFunctions {
  void (*normalize_float[3])(float* row, int64_t n);
  void (*normalize_double[3])(double* row, int64_t n);
  void (*backward_float[3])(const float* weights, float* grad, int64_t n);
  void (*backward_double[3])(const double* weights, double* grad, int64_t n);
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
