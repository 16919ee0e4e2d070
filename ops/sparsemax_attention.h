// sparsemax and entmax-1.5 attention with the argument names of LibTorch's scaled_dot_product_attention, to
// replace it in existing code. In, query [.., H, M, d], key [.., G, N, d], value [.., G, N, e] with 2 to 4
// dimensions; out, [.., H, M, e]. Sparse throughout without attn_mask; with one, bool too, every score is
// computed: masks that are lists or rules are those of sparse_mask_attention. Differentiable once, also with
// respect to a floating attn_mask.
#pragma once

#include <optional>

#include <ATen/core/Tensor.h>

namespace giantrabbit::ops {

// attn_mask: bool (true = may see) or floating (added to the scores, -inf = not permitted), broadcastable to
// [.., H, M, N]. is_causal aligns to the first key, as LibTorch's does, and excludes attn_mask. enable_gqa
// permits H to be a multiple of G; without it they are equal. scale: none = 1/sqrt(d).
at::Tensor sparsemax_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                               const std::optional<at::Tensor>& attn_mask = std::nullopt,
                               bool is_causal = false, std::optional<double> scale = std::nullopt,
                               bool enable_gqa = false);
at::Tensor entmax15_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                              const std::optional<at::Tensor>& attn_mask = std::nullopt,
                              bool is_causal = false, std::optional<double> scale = std::nullopt,
                              bool enable_gqa = false);

}  // namespace giantrabbit::ops
