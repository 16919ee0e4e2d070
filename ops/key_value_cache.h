// Keys and values that queries of later steps attend to (cached_attention.h): B sequences of different
// lengths with G heads each, growing at the end. Numbers are kept in fp32, whatever floating dtype (not
// double) they come in.
//
// Keys lie in pages of 64. Where the machine has integer products, every full page also has a copy in 8 bits
// with bounds of what that costs (a quarter of the keys' memory more), and every 64 full pages have balls
// around their keys: attention reads those first. Appending costs the same for every token on average, and
// the contents do not depend on how the tokens were cut into calls. Copies of a cache share their sequences
// until one of them appends.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace giantrabbit::ops {

namespace cpu {
class CacheSequence;
}

class KeyValueCache {
 public:
  struct Sizes {
    int64_t batch = 0;
    int64_t heads = 0;
    int64_t width = 0;
    int64_t value_width = 0;
  };
  // `skippable`: whether attention may want to skip keys; false (softmax) saves the 8-bit copy.
  explicit KeyValueCache(Sizes sizes, bool skippable = true);
  KeyValueCache() : KeyValueCache(Sizes{}) {}

  // key [B, G, M, d], value [B, G, M, e]. Sequence b takes the first counts[b] of the M tokens, or all. Not
  // differentiable.
  void append(const at::Tensor& key, const at::Tensor& value,
              const std::optional<at::Tensor>& counts = std::nullopt);
  // One token per sequence, from plain rows: head g of sequence b is at key + b * step + g * d, and at
  // value + b * step + g * e.
  void append_token(const float* key, const float* value, int64_t step);
  // The sequences rows[0], rows[1], .. (int64, [K]) become the cache's, in this order; they may repeat.
  // Copies no keys: a sequence that repeats is copied when it is appended to.
  void keep(const at::Tensor& rows);

  const Sizes& sizes() const { return sizes_; }
  int64_t length(int64_t sequence) const;
  at::Tensor lengths() const;                 // [B] int64
  int64_t bytes() const;                      // memory held, sequences that copies share counted in each
  at::Tensor keys(int64_t sequence) const;    // copies, [G, length, d]
  at::Tensor values(int64_t sequence) const;  // [G, length, e]
  const cpu::CacheSequence& sequence(int64_t index) const { return *sequences_[static_cast<size_t>(index)]; }

 private:
  cpu::CacheSequence& own_sequence(int64_t index, int64_t more);  // not shared, with room for `more` tokens
  Sizes sizes_;
  std::vector<std::shared_ptr<cpu::CacheSequence>> sequences_;
};

}  // namespace giantrabbit::ops
