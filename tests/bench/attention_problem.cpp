// See attention_problem.h.
#include "tests/bench/attention_problem.h"

#include <cmath>

namespace giantrabbit::bench {
namespace {

constexpr uint64_t kSeed = 7;

at::Tensor clustered_keys(const Shape& shape) {
  constexpr int64_t kCentres = 128;
  constexpr double kNoise = 0.3;
  const at::Tensor centres = torch::randn({shape.batch * shape.heads, kCentres, shape.width});
  const at::Tensor chosen = torch::randint(kCentres, {shape.batch * shape.heads, shape.keys, 1})
                                .expand({shape.batch * shape.heads, shape.keys, shape.width});
  const at::Tensor noise = torch::randn(chosen.sizes());
  const at::Tensor keys = centres.gather(1, chosen) * std::sqrt(1.0 - kNoise * kNoise) + kNoise * noise;
  return keys.view({shape.batch, shape.heads, shape.keys, shape.width});
}

at::Tensor local_keys(const Shape& shape) {
  constexpr double kMemory = 0.97;
  at::Tensor keys = torch::randn({shape.keys, shape.batch * shape.heads * shape.width});
  const int64_t columns = keys.size(1);
  auto* data = keys.data_ptr<float>();
  const auto fresh = static_cast<float>(std::sqrt(1.0 - kMemory * kMemory));
  for (int64_t i = columns; i < keys.numel(); ++i) {
    data[i] = static_cast<float>(kMemory) * data[i - columns] + fresh * data[i];
  }
  return keys.view({shape.keys, shape.batch, shape.heads, shape.width}).permute({1, 2, 0, 3});
}

// 0.7 of a key and 0.7 of noise: of its own place where there are as many keys as queries.
at::Tensor queries_near(const at::Tensor& keys, int64_t count) {
  const at::Tensor places = torch::arange(count).remainder(keys.size(2));
  const at::Tensor near = keys.index_select(2, places);
  return std::sqrt(0.5) * near + std::sqrt(0.5) * torch::randn(near.sizes());
}

at::Tensor heads_last(const at::Tensor& tensor) {
  return tensor.detach().to(at::kFloat).transpose(1, 2).contiguous().transpose(1, 2).set_requires_grad(true);
}

Problem finish(const Shape& shape, ops::Normalizer normalizer, const at::Tensor& query, const at::Tensor& key,
               const at::Tensor& value) {
  Problem problem{shape, normalizer, {heads_last(query), heads_last(key), heads_last(value)}, {}, {}, {}};
  problem.grad = torch::randn({shape.batch, shape.queries, shape.heads, value.size(3)}).transpose(1, 2);
  problem.mask.causal = shape.causal;
  problem.mask.window = shape.window;
  if (shape.lengths) {
    problem.mask.key_lengths = torch::randint(shape.keys / 2, shape.keys + 1, {shape.batch}, torch::kLong);
    problem.dense_mask = problem.mask.dense(shape.batch, shape.heads, shape.queries, shape.keys);
  }
  return problem;
}

}  // namespace

std::string structure_name(Structure structure) {
  switch (structure) {
    case Structure::clustered:
      return "clustered";
    case Structure::local:
      return "local";
    default:
      return "iid";
  }
}

std::vector<at::Tensor> Problem::leaves(at::ScalarType dtype) const {
  std::vector<at::Tensor> result;
  for (const at::Tensor& input : inputs) result.push_back(input.detach().to(dtype).set_requires_grad(true));
  return result;
}

Problem Problem::to(at::ScalarType dtype) const {
  return {shape, normalizer, leaves(dtype), grad.to(dtype), mask, dense_mask};
}

Problem make_problem(const Shape& shape, ops::Normalizer normalizer, double score_factor,
                     Structure structure) {
  torch::manual_seed(kSeed);
  at::Tensor key;
  at::Tensor query;
  if (structure == Structure::iid) {
    key = torch::randn({shape.batch, shape.heads, shape.keys, shape.width});
    query = torch::randn({shape.batch, shape.heads, shape.queries, shape.width});
  } else {
    key = structure == Structure::clustered ? clustered_keys(shape) : local_keys(shape);
    query = queries_near(key, shape.queries);
  }
  const at::Tensor value = torch::randn({shape.batch, shape.heads, shape.keys, shape.width});
  return finish(shape, normalizer, query * score_factor, key, value);
}

Problem self_attention_problem(const std::vector<at::Tensor>& query_key_value, ops::Normalizer normalizer) {
  torch::manual_seed(kSeed);
  const at::Tensor& query = query_key_value.at(0);
  const Shape shape{query.size(0), query.size(1), query.size(2), query.size(2), query.size(3), true};
  return finish(shape, normalizer, query, query_key_value.at(1), query_key_value.at(2));
}

at::Tensor ours(const Problem& problem) {
  return ops::sparse_mask_attention(problem.inputs[0], problem.inputs[1], problem.inputs[2], problem.mask,
                                    problem.normalizer);
}

at::Tensor fused_softmax(const Problem& problem) {
  return at::scaled_dot_product_attention(problem.inputs[0], problem.inputs[1], problem.inputs[2],
                                          problem.dense_mask, 0.0, problem.shape.causal);
}

std::function<void()> forward_of(const Problem& problem, Attention attention) {
  return [&problem, attention] {
    const at::NoGradGuard no_grad;
    attention(problem);
  };
}

std::function<void()> training_of(const Problem& problem, Attention attention) {
  return
      [&problem, attention] { torch::autograd::grad({attention(problem)}, problem.inputs, {problem.grad}); };
}

}  // namespace giantrabbit::bench
