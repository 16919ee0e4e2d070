// sparsemax and entmax-1.5 over one dimension: sparse counterparts of softmax.
//
//   sparsemax(z) = argmin over p in the simplex of |p - z|^2, that is p_j = max(z_j - tau, 0) with sum 1
//                  (Martins and Astudillo 2016)
//   entmax15(z):   p_j = max(z_j/2 - tau, 0)^2 with sum 1 (Peters, Niculae and Martins 2019, alpha = 1.5)
//
// Row contract (all operators of this library): a score of -inf is not permitted and gets weight exactly 0; a
// row without any permitted entry gives zeros and zero gradient; NaN or +inf in a row gives NaN in that row
// only; equal scores get equal weights; an entry exactly at the threshold is outside the support. fp32,
// fp64 and the 16-bit floating dtypes; sums and thresholds are fp32 or better; the result has the input's
// dtype. Differentiable twice. Same bits for any thread count.
#pragma once

#include <ATen/core/Tensor.h>

namespace giantrabbit::ops {

// scores: any shape with at least one dimension; dim counts from the end when negative.
// Throws c10::IndexError for a dim out of range, c10::Error for other dtypes.
at::Tensor sparsemax(const at::Tensor& scores, int64_t dim = -1);
at::Tensor entmax15(const at::Tensor& scores, int64_t dim = -1);

// Into memory that is already there, which costs less than the arithmetic to get anew once it is large. `out`
// has the scores' dtype and device, is resized if its shape differs, and may be the scores themselves; other
// overlapping memory is an error. Not differentiable: throws where a gradient is required.
at::Tensor& sparsemax_out(at::Tensor& out, const at::Tensor& scores, int64_t dim = -1);
at::Tensor& entmax15_out(at::Tensor& out, const at::Tensor& scores, int64_t dim = -1);

// Gradient with respect to the scores from the gradient of the weights and the weights themselves.
at::Tensor sparsemax_backward(const at::Tensor& grad, const at::Tensor& weights, int64_t dim);
at::Tensor entmax15_backward(const at::Tensor& grad, const at::Tensor& weights, int64_t dim);
at::Tensor& sparsemax_backward_out(at::Tensor& out, const at::Tensor& grad, const at::Tensor& weights,
                                   int64_t dim);
at::Tensor& entmax15_backward_out(at::Tensor& out, const at::Tensor& grad, const at::Tensor& weights,
                                  int64_t dim);

}  // namespace giantrabbit::ops
