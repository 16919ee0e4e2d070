// Projections and heads; see attention.h.
#include "model/attention.h"

#include <cmath>

namespace giantrabbit::model {
namespace {

torch::Tensor initial_matrix(int64_t rows, int64_t columns) {
  return torch::randn({rows, columns}) * (0.5 / std::sqrt(static_cast<double>(columns)));
}

// [B, M, parts * H * d] -> parts views [B, H, M, d]. Parts are cut from the last dimension, so that their
// gradients are joined by one copy.
std::vector<torch::Tensor> split_heads(const torch::Tensor& x, int64_t parts, int64_t heads) {
  std::vector<torch::Tensor> views = x.chunk(parts, -1);
  for (torch::Tensor& view : views) view = view.unflatten(-1, {heads, -1}).transpose(1, 2);
  return views;
}

torch::Tensor merge_heads(const torch::Tensor& x) { return x.transpose(1, 2).flatten(2); }

// Rotates pairs of entries of x [B, H, M, d] by position * rate (rotary position embedding). positions [M] or
// [B, M].
torch::Tensor rotate(const torch::Tensor& x, const torch::Tensor& positions) {
  const int64_t half = x.size(-1) / 2;
  torch::Tensor angles = rotary_angles(positions, x.size(-1));  // [(B,) M, d/2]
  if (positions.dim() == 2) angles = angles.unsqueeze(1);
  const torch::Tensor cosine = angles.cos();
  const torch::Tensor sine = angles.sin();
  const torch::Tensor first = x.narrow(-1, 0, half);
  const torch::Tensor second = x.narrow(-1, half, half);
  return torch::cat({first * cosine - second * sine, first * sine + second * cosine}, -1);
}

}  // namespace

torch::Tensor rotary_angles(const torch::Tensor& positions, int64_t head_width) {
  const int64_t half = head_width / 2;
  const torch::Tensor rates =
      torch::exp(torch::arange(half) * (-std::log(10000.0) / static_cast<double>(half)));
  return positions.to(torch::kFloat32).unsqueeze(-1) * rates;
}

SelfAttentionImpl::SelfAttentionImpl(const ModelConfig& config)
    : heads_(config.heads), rotary_(config.position == "rotary"), core_(config) {
  if (config.projection == "plain") {
    torch::Tensor initial = initial_matrix(3 * config.width, config.width);
    if (core_.starts_with_zero_queries()) initial.narrow(0, 0, config.width).zero_();
    qkv = register_parameter("qkv", initial);
  } else {
    deep_qkv = register_module("deep_qkv", DeepProjection(config));
  }
  out = register_parameter("out", torch::zeros({config.width, config.width}));
}

torch::Tensor SelfAttentionImpl::projection() const { return deep_qkv.is_empty() ? qkv : deep_qkv->matrix(); }

SelfAttentionImpl::Heads SelfAttentionImpl::project(const torch::Tensor& x,
                                                    const torch::Tensor& positions) const {
  const std::vector<torch::Tensor> parts = split_heads(torch::linear(x, projection()), 3, heads_);
  if (!rotary_) return {parts[0], parts[1], parts[2]};
  return {rotate(parts[0], positions), rotate(parts[1], positions), parts[2]};
}

torch::Tensor SelfAttentionImpl::merge(const torch::Tensor& heads) const {
  return torch::linear(merge_heads(heads), out);
}

torch::Tensor SelfAttentionImpl::forward(const torch::Tensor& x, const ops::SparseMask& mask,
                                         const torch::Tensor& positions, Trace* trace,
                                         const std::string& name) {
  const Heads heads = project(x, positions);
  return merge(core_.attend(heads.query, heads.key, heads.value, mask, trace, name));
}

torch::Tensor SelfAttentionImpl::fill(const torch::Tensor& x, const torch::Tensor& lengths,
                                      ops::KeyValueCache& cache, const ops::SparseMask& mask,
                                      const torch::Tensor& positions, Trace* trace, const std::string& name) {
  const Heads heads = project(x, positions);
  cache = core_.cache_of(heads.key, heads.value, lengths);
  return merge(core_.attend(heads.query, heads.key, heads.value, mask, trace, name));
}

torch::Tensor SelfAttentionImpl::step(const torch::Tensor& x, const torch::Tensor& lengths,
                                      ops::KeyValueCache& cache, int64_t window, Trace* trace,
                                      const std::string& name) {
  const Heads heads = project(x, lengths.unsqueeze(1));
  cache.append(heads.key, heads.value);
  return merge(core_.attend(heads.query, cache, window, trace, name));
}

torch::Tensor SelfAttentionImpl::received_mass(const torch::Tensor& x, const ops::SparseMask& mask,
                                               const torch::Tensor& positions) {
  const torch::NoGradGuard guard;
  const Heads heads = project(x, positions);
  return core_.received_mass(heads.query, heads.key, mask);
}

CrossAttentionImpl::CrossAttentionImpl(const ModelConfig& config) : heads_(config.heads), core_(config) {
  const int64_t width = config.width;
  query = register_parameter("query", core_.starts_with_zero_queries() ? torch::zeros({width, width})
                                                                       : initial_matrix(width, width));
  key_value = register_parameter("key_value", initial_matrix(2 * width, width));
  out = register_parameter("out", torch::zeros({width, width}));
}

torch::Tensor CrossAttentionImpl::forward(const torch::Tensor& x, const torch::Tensor& memory,
                                          const ops::SparseMask& mask, Trace* trace,
                                          const std::string& name) {
  const std::vector<torch::Tensor> heads = split_heads(torch::linear(memory, key_value), 2, heads_);
  return merge(core_.attend(queries(x), heads[0], heads[1], mask, trace, name));
}

torch::Tensor CrossAttentionImpl::fill(const torch::Tensor& x, const torch::Tensor& memory,
                                       const torch::Tensor& lengths, ops::KeyValueCache& cache,
                                       const ops::SparseMask& mask, Trace* trace, const std::string& name) {
  const std::vector<torch::Tensor> heads = split_heads(torch::linear(memory, key_value), 2, heads_);
  cache = core_.cache_of(heads[0], heads[1], lengths);
  return merge(core_.attend(queries(x), heads[0], heads[1], mask, trace, name));
}

torch::Tensor CrossAttentionImpl::step(const torch::Tensor& x, const ops::KeyValueCache& cache, Trace* trace,
                                       const std::string& name) {
  return merge(core_.attend(queries(x), cache, /*window=*/0, trace, name));
}

torch::Tensor CrossAttentionImpl::queries(const torch::Tensor& x) const {
  return split_heads(torch::linear(x, query), 1, heads_)[0];
}

torch::Tensor CrossAttentionImpl::merge(const torch::Tensor& heads) const {
  return torch::linear(merge_heads(heads), out);
}

}  // namespace giantrabbit::model
