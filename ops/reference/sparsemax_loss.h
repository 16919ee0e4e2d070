// The Fenchel-Young losses as their definitions read, with plain, differentiable ATen operations: the oracle
// for ops/sparsemax_loss.h, same arguments and contract. Computes in the dtype of the logits.
#pragma once

#include <ATen/core/Tensor.h>

namespace giantrabbit::ops::reference {

at::Tensor sparsemax_loss(const at::Tensor& logits, const at::Tensor& target);
at::Tensor entmax15_loss(const at::Tensor& logits, const at::Tensor& target);

}  // namespace giantrabbit::ops::reference
