// Attention with locality-sensitive hashing (Kitaev, Kaiser and Levskaya 2020, "Reformer"): self-attention in
// which a query scores only keys that a few rounds of hashing put near it. Cost grows as n log n.
//
// In every round the positions of a head are sorted by (bucket, position), each round is cut into chunks of
// `chunk_length` (the last one may be short), and a query sees the keys of its own chunk, of `chunks_before`
// chunks and of `chunks_after`. The chunks of all rounds stand in one circle: the first chunk of a round has
// the last one of the round before it as its neighbour. What a query sees in all rounds is one sparse mask:
//
//   out[i] = sum_j normalizer(scale * query[i].key[j] + log count[i][j])_j value[j]       softmax
//   out[i] = sum_j normalizer(scale * query[i].key[j])_j value[j]                         sparsemax, entmax15
//
// over the j that round and chunk bring to i, count[i][j] times. The softmax is that of the paper's rounds,
// each normalised alone, combined with weights exp(lse of the round - lse of all rounds). The sparse
// normalizers take every key once, so that the result equals exact attention wherever the true support was
// found.
//
// Shapes: query, key [B, H, N, d], value [B, H, N, e], buckets [B, H, R, N]; the result is [B, H, N, e] in
// the query's dtype. Any length (0 too), strides, d and e; the row contract of ops/sparsemax.h holds.
// Differentiable once. Same bits for any thread count. Nothing of size N x N is kept. Errors name the
// operator, what was expected and what came.
#pragma once

#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "ops/normalizer.h"

namespace giantrabbit::ops {

// Random rotations: in each round a vector x falls into the bucket argmax [xR, -xR].
struct LshHashing {
  at::Tensor rotations;  // [H or 1, d, R, sum(bucket_counts) / 2], floating
  // Even numbers. Several ones are factors of the number of buckets: every factor is hashed with its own part
  // of the rotations and bucket = first + bucket_counts[0] * second + .., which needs far fewer rotations.
  std::vector<int64_t> bucket_counts;

  // Standard normal rotations, fp32, a function of the arguments alone.
  static LshHashing random(int64_t heads, int64_t width, int64_t rounds, std::vector<int64_t> bucket_counts,
                           uint64_t seed);
};

// Which keys of the neighbouring chunks a query may see.
struct LshPattern {
  int64_t chunk_length = 64;
  int64_t chunks_before = 1;
  int64_t chunks_after = 0;
  bool causal = false;  // by position in the sequence, not by place in the chunk
  // A query sees itself only where it sees nothing else: a shared query and key would mostly find itself.
  bool exclude_self = true;
  // [B, N] bool, false = padding: such a key is never seen and such a query gives zeros.
  std::optional<at::Tensor> valid;
};

// Buckets [B, H, R, N] int64 of vectors [B, H, N, d], as hashed in fp32 (fp64 for fp64 vectors). Those of
// round r are r * b .. r * b + b - 1 with b the product of the bucket counts; with `valid` b is one larger
// and padding falls into the last bucket of its round. The smallest bucket wins a tie. Not differentiable.
at::Tensor lsh_buckets(const at::Tensor& vectors, const LshHashing& hashing,
                       const std::optional<at::Tensor>& valid = std::nullopt);

// Under CPU autocast query, key and value are cast to its dtype; scores, weights and sums stay in fp32.
// scale: factor of the scores; none = 1/sqrt(d). Only the order of the buckets within a round counts.
at::Tensor lsh_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const at::Tensor& buckets, const LshPattern& pattern,
                         Normalizer normalizer = Normalizer::softmax,
                         std::optional<double> scale = std::nullopt);

// Keys that share their vectors with the queries: x / sqrt(mean(x^2) + 1e-6) over the last dimension.
at::Tensor lsh_shared_keys(const at::Tensor& query);

// The whole of it: buckets of the queries, shared keys, attention.
at::Tensor lsh_shared_attention(const at::Tensor& query, const at::Tensor& value, const LshHashing& hashing,
                                const LshPattern& pattern, Normalizer normalizer = Normalizer::softmax,
                                std::optional<double> scale = std::nullopt);

}  // namespace giantrabbit::ops
