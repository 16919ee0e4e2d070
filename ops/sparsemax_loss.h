// Fenchel-Young losses that belong to sparsemax and entmax-1.5, as cross-entropy belongs to softmax
// (Blondel, Martins and Niculae 2020): zero exactly when the weights put everything on the target.
//
//   sparsemax_loss(z, y) = -z_y + 1/2 sum_{j in S}(z_j^2 - tau^2) + 1/2
//       with gradient sparsemax(z) - onehot(y)
//
//   entmax15_loss(z, y) = (p - onehot(y)).z + (1 - sum p^1.5) / 0.75
//       with p = entmax15(z) and gradient p - onehot(y)
//
// The row contract of ops/sparsemax.h holds: a row without any permitted entry gives loss 0 and gradient 0,
// NaN or +inf gives NaN in that row only. A target whose logit is -inf, beside permitted ones, gives the loss
// +inf. Differentiable twice.
#pragma once

#include <ATen/core/Tensor.h>

namespace giantrabbit::ops {

// logits [.., V] in fp32, fp64 or a 16-bit floating dtype, target [..] int64 class numbers in [0, V); result
// [..], one loss per row (fp32 for 16-bit logits). A target of -100 gives loss 0 and gradient 0. Throws
// c10::Error for a target outside.
at::Tensor sparsemax_loss(const at::Tensor& logits, const at::Tensor& target);
at::Tensor entmax15_loss(const at::Tensor& logits, const at::Tensor& target);

// Gradient with respect to the logits, (weights - onehot(target)) * grad, from the gradient [..] of the
// losses and the weights [.., V], both fp32 or both fp64. Serves both losses.
at::Tensor sparsemax_loss_backward(const at::Tensor& grad, const at::Tensor& weights,
                                   const at::Tensor& target);

}  // namespace giantrabbit::ops
