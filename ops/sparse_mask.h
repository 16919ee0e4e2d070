// Which keys each query may see: an intersection of simple rules and, optionally, explicit lists.
#pragma once

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

namespace giantrabbit::ops {

// M queries, N keys. A query sees a key only if every rule that is set permits it; the default permits all.
struct SparseMask {
  // Query i sees keys 0 .. i + (N - M): aligned to the end of the keys, as a decoder with a cache needs.
  bool causal = false;
  // Query i sees only keys with |j - (i + N - M)| < window; window >= 1.
  std::optional<int64_t> window;
  // [B] int64: sequence b has its first key_lengths[b] keys only; 0 .. N.
  std::optional<at::Tensor> key_lengths;
  // Compressed rows, element or block granularity: row r (a block of `block_rows` queries) permits the key
  // blocks key_indices[row_offsets[r] .. row_offsets[r+1]) of `block_columns` keys each. int64; row_offsets
  // is [R+1] (shared by all batches and heads) or [B, R+1] or [B, H, R+1], offsets count into the flat
  // key_indices; R = ceil(M / block_rows). Indices inside a row are strictly increasing.
  std::optional<at::Tensor> row_offsets;
  std::optional<at::Tensor> key_indices;
  int64_t block_rows = 1;
  int64_t block_columns = 1;

  // Every rule written out: bool [B or 1, H or 1, M, N], true = may see. For references, tests and small
  // inputs. Throws c10::Error for lists that the operators would refuse.
  at::Tensor dense(int64_t batch, int64_t heads, int64_t queries, int64_t keys) const;
  // Compressed rows from a bool tensor [M, N], [B, M, N] or [B, H, M, N], true = may see.
  static SparseMask from_dense(const at::Tensor& permitted);
};

}  // namespace giantrabbit::ops
