// sparse_mask_attention written with plain, differentiable ATen operations: the definition that kernels are
// tested against. Same arguments and contract as ops/sparse_mask_attention.h; keeps everything of size M x N.
#pragma once

#include <optional>

#include <ATen/core/Tensor.h>

#include "ops/normalizer.h"
#include "ops/sparse_mask.h"

namespace giantrabbit::ops::reference {

// Weights [B, H, M, N], in the dtype of the inputs: convert to double first for an oracle.
at::Tensor attention_weights(const at::Tensor& query, const at::Tensor& key, const SparseMask& mask,
                             Normalizer normalizer, std::optional<double> scale = std::nullopt,
                             const std::optional<at::Tensor>& bias = std::nullopt);

at::Tensor sparse_mask_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const SparseMask& mask, Normalizer normalizer,
                                 std::optional<double> scale = std::nullopt,
                                 const std::optional<at::Tensor>& bias = std::nullopt);

}  // namespace giantrabbit::ops::reference
