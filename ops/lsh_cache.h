// What generation with LSH attention remembers of its tokens: B sequences of different lengths, which grow at
// the end, with shared queries and keys (lsh_attention.h). In every round the positions stand in the order of
// their buckets, so that a new token finds its chunk without sorting. Numbers are kept in fp32. Copies of a
// cache share their sequences until one of them grows. Same bits for any thread count. Not differentiable.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "ops/lsh_attention.h"

namespace giantrabbit::ops {

class LshCache {
 public:
  LshCache() = default;
  // The pattern must be causal and without `valid`; scale: none = 1/sqrt(d).
  LshCache(LshHashing hashing, LshPattern pattern, Normalizer normalizer, std::optional<double> scale);

  // query [B, H, M, d], value [B, H, M, e]: sequence b takes the first counts[b] of the M tokens, or all. The
  // first call says what B, H, d and e are.
  void append(const at::Tensor& query, const at::Tensor& value,
              const std::optional<at::Tensor>& counts = std::nullopt);
  // One token per sequence, M = 1, joins and attends: [B, H, 1, e] fp32, the last row of lsh_shared_attention
  // over the sequence so far.
  at::Tensor step(const at::Tensor& query, const at::Tensor& value);
  // The sequences rows[0], rows[1], .. (int64, [K]) become the cache's, in this order.
  void keep(const at::Tensor& rows);

  int64_t batch() const { return static_cast<int64_t>(sequences_.size()); }
  int64_t length(int64_t sequence) const;

 private:
  struct Head;
  using Sequence = std::vector<Head>;
  struct Token;
  void check(const at::Tensor& query, const at::Tensor& value) const;
  Sequence& own_sequence(int64_t index);  // not shared
  void append_token(Sequence& sequence, const Token& token) const;
  void attend(const Head& head, const float* query, float* output) const;

  LshHashing hashing_;
  LshPattern pattern_;
  Normalizer normalizer_ = Normalizer::softmax;
  std::optional<double> scale_;
  int64_t width_ = 0;
  int64_t value_width_ = 0;
  std::vector<std::shared_ptr<Sequence>> sequences_;
};

}  // namespace giantrabbit::ops
