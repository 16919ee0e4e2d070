// Fenchel-Young losses that belong to sparsemax and entmax-1.5, as cross-entropy belongs to softmax
// (Blondel, Martins and Niculae 2020): zero exactly when the weights put everything on the target.
//
//   sparsemax_loss(z, y) = -z_y + 1/2 sum_{j in S}(z_j^2 - tau^2) + 1/2,     gradient sparsemax(z) - onehot(y)
//   entmax15_loss(z, y)  = (p - onehot(y)).z + (1 - sum p^1.5) / 0.75,       gradient entmax15(z) - onehot(y)
#pragma once

#include <ATen/core/Tensor.h>

namespace giantrabbit::ops {

// logits [.., V] of a floating dtype, target [..] int64 class numbers in [0, V); result [..], one loss per row
// (fp32 for 16-bit logits). A target of -100 gives loss 0 and gradient 0. Throws c10::Error for a target outside.
at::Tensor sparsemax_loss(const at::Tensor& logits, const at::Tensor& target);
at::Tensor entmax15_loss(const at::Tensor& logits, const at::Tensor& target);

}  // namespace giantrabbit::ops
