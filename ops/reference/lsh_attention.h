// lsh_attention as what it is, a pattern of sparse_mask_attention: plain, differentiable, everything of size
// N x N. Same arguments and contract as ops/lsh_attention.h; finite inputs only.
#pragma once

#include <optional>

#include "ops/lsh_attention.h"

namespace giantrabbit::ops::reference {

// How often the rounds bring key j to query i before any mask: [B, H, N, N] int64.
at::Tensor lsh_counts(const at::Tensor& buckets, const LshPattern& pattern);

// Which keys a query may see: [B, H, N, N] bool, from the counts and the pattern's masks.
at::Tensor lsh_permitted(const at::Tensor& counts, const LshPattern& pattern);

at::Tensor lsh_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const at::Tensor& buckets, const LshPattern& pattern,
                         Normalizer normalizer = Normalizer::softmax,
                         std::optional<double> scale = std::nullopt);

}  // namespace giantrabbit::ops::reference
