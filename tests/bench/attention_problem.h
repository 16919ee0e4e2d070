// Inputs of attention as a benchmark needs them. In, a shape and what the numbers look like; out, tensors
// laid out as a model has them ([batch, length, heads, width] seen transposed), our operator and LibTorch's
// fused one on them. Invariant: the same numbers for the same arguments.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "ops/sparse_mask_attention.h"

namespace giantrabbit::bench {

struct Shape {
  int64_t batch = 1;
  int64_t heads = 4;
  int64_t queries = 0;
  int64_t keys = 0;
  int64_t width = 64;
  bool causal = false;
  bool lengths = false;
  std::optional<int64_t> window = std::nullopt;
};

// iid: independent unit normals. clustered: keys around 128 centres, in any order. local: keys follow each
// other as a first-order autoregression. In the last two a query resembles a key, as in a trained model.
enum class Structure { iid, clustered, local };
std::string structure_name(Structure structure);

struct Problem {
  Shape shape;
  ops::Normalizer normalizer;
  std::vector<at::Tensor> inputs;  // query, key, value, requiring gradients
  at::Tensor grad;                 // of the result
  ops::SparseMask mask;
  std::optional<at::Tensor> dense_mask;  // what LibTorch needs for key lengths

  Problem to(at::ScalarType dtype) const;
  // Query, key and value as leaves without history, in a dtype.
  std::vector<at::Tensor> leaves(at::ScalarType dtype) const;
};

Problem make_problem(const Shape& shape, ops::Normalizer normalizer, double score_factor = 1.0,
                     Structure structure = Structure::iid);
// Causal self-attention over given queries, keys and values, [B, H, N, d] each.
Problem self_attention_problem(const std::vector<at::Tensor>& query_key_value, ops::Normalizer normalizer);

at::Tensor ours(const Problem& problem);
at::Tensor fused_softmax(const Problem& problem);  // LibTorch's, whatever the problem's normalizer
// The result and all gradients, without keeping a graph.
using Attention = at::Tensor (*)(const Problem& problem);
std::function<void()> forward_of(const Problem& problem, Attention attention);
std::function<void()> training_of(const Problem& problem, Attention attention);

}  // namespace giantrabbit::bench
