// Scores to weights for one row, and back for the gradient: the inner functions of every CPU kernel of this
// library. Raw pointers, no ATen, no allocation, safe to call from any thread. The row contract of
// ops/sparsemax.h holds: -inf gives weight 0, a row without a permitted entry gives zeros and zero gradient,
// NaN or +inf gives NaN in the whole row, equal scores give equal weights, an entry exactly at the threshold
// has weight 0. The result depends on the row's values only, and on the instruction set (in the last bits).
#pragma once

#include <cstdint>

#include "ops/cpu/capability.h"
#include "ops/cpu/row_functions.h"
#include "ops/normalizer.h"

namespace giantrabbit::ops::cpu {

// Scores to weights; `weights` may be `scores`, but must not overlap them otherwise. Thresholds and sums of
// float rows are computed in double; softmax of a float row uses an exponential with relative error below
// 2e-7 that is 0 below exp(-87.3).
void normalize_row(Normalizer normalizer, const float* scores, float* weights, int64_t n,
                   Store store = Store::cached);
void normalize_row(Normalizer normalizer, const double* scores, double* weights, int64_t n,
                   Store store = Store::cached);

// The same for several rows; the bits of a row do not depend on the others.
void normalize_rows(Normalizer normalizer, const float* scores, float* weights, RowShape shape);
void normalize_rows(Normalizer normalizer, const double* scores, double* weights, RowShape shape);

// Gradient of the weights to gradient of the scores, at most 8 additions in T before a sum goes on in double;
// `grad_scores` may be `grad`. Entries whose weight is 0
// get gradient 0, whatever their incoming gradient is; NaN weights give NaN.
void normalize_row_backward(Normalizer normalizer, const float* weights, const float* grad,
                            float* grad_scores, int64_t n);
void normalize_row_backward(Normalizer normalizer, const double* weights, const double* grad,
                            double* grad_scores, int64_t n);

// For the losses: with the weights p of the logits z, sum p_j (z_j - target) and, of sparsemax, sum p_j^2 or,
// of entmax-1.5, sum p_j^1.5. The second is positive unless nothing is permitted.
RowLossSums row_loss_sums(Normalizer normalizer, const float* logits, const float* weights, int64_t n,
                          float target);
RowLossSums row_loss_sums(Normalizer normalizer, const double* logits, const double* weights, int64_t n,
                          double target);

// In place.
template <class T>
void normalize_row(Normalizer normalizer, T* row, int64_t n) {
  normalize_row(normalizer, row, row, n);
}

template <class T>
void normalize_row_backward(Normalizer normalizer, const T* weights, T* grad, int64_t n) {
  normalize_row_backward(normalizer, weights, grad, grad, n);
}

// The functions of one instruction set. The capability must be one of machine_capabilities().
const RowFunctions& row_functions(Capability capability);

}  // namespace giantrabbit::ops::cpu
