// Problems that the attention tests share: random inputs of a seed, and one mask of every kind for given
// lengths.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "ops/reference/sparse_mask_attention.h"
#include "ops/sparse_mask.h"
#include "ops/sparse_mask_attention.h"

namespace giantrabbit::ops::test {

constexpr uint64_t kSeed = 20261122;  // printed by the tests that use it

struct Inputs {
  at::Tensor query;
  at::Tensor key;
  at::Tensor value;

  Inputs to(at::ScalarType dtype) const { return {query.to(dtype), key.to(dtype), value.to(dtype)}; }
};

struct Sizes {
  int64_t batch = 2;
  int64_t heads = 2;
  int64_t key_heads = 2;
  int64_t queries = 5;
  int64_t keys = 5;
  int64_t width = 8;
  int64_t value_width = 8;
};

inline Inputs random_inputs(const Sizes& sizes, at::ScalarType dtype = at::kDouble) {
  torch::manual_seed(kSeed);
  const auto options = torch::dtype(at::kDouble);
  const at::Tensor query = torch::randn({sizes.batch, sizes.heads, sizes.queries, sizes.width}, options);
  const at::Tensor key = torch::randn({sizes.batch, sizes.key_heads, sizes.keys, sizes.width}, options);
  const at::Tensor value =
      torch::randn({sizes.batch, sizes.key_heads, sizes.keys, sizes.value_width}, options);
  return Inputs{query, key, value}.to(dtype);
}

inline at::Tensor random_lengths(int64_t batch, int64_t keys) {
  torch::manual_seed(kSeed + 1);
  return torch::randint(0, keys + 1, {batch}, torch::kLong);
}

// About two in five pairs, some rows empty.
inline at::Tensor random_permitted(at::IntArrayRef shape) {
  torch::manual_seed(kSeed + 2);
  return torch::rand(shape).lt(0.4);
}

// Lists over blocks of 3 queries and 4 keys.
inline SparseMask block_lists(int64_t queries, int64_t keys) {
  SparseMask mask = SparseMask::from_dense(random_permitted({(queries + 2) / 3, (keys + 3) / 4}));
  mask.block_rows = 3;
  mask.block_columns = 4;
  return mask;
}

inline std::vector<std::pair<std::string, SparseMask>> every_mask(const Sizes& sizes) {
  SparseMask causal;
  causal.causal = true;
  SparseMask window;
  window.window = 3;
  SparseMask causal_window = window;
  causal_window.causal = true;
  SparseMask lengths;
  lengths.key_lengths = random_lengths(sizes.batch, sizes.keys);
  const SparseMask shared = SparseMask::from_dense(random_permitted({sizes.queries, sizes.keys}));
  const SparseMask per_batch =
      SparseMask::from_dense(random_permitted({sizes.batch, sizes.queries, sizes.keys}));
  const SparseMask per_head =
      SparseMask::from_dense(random_permitted({sizes.batch, sizes.heads, sizes.queries, sizes.keys}));
  const SparseMask blocks = block_lists(sizes.queries, sizes.keys);
  SparseMask everything = blocks;
  everything.causal = true;
  everything.window = sizes.keys / 2 + 1;
  everything.key_lengths = lengths.key_lengths;
  return {{"all", {}},
          {"causal", causal},
          {"window", window},
          {"causal+window", causal_window},
          {"key_lengths", lengths},
          {"lists shared", shared},
          {"lists per batch", per_batch},
          {"lists per head", per_head},
          {"lists of blocks", blocks},
          {"everything", everything}};
}

inline const std::vector<Normalizer>& every_normalizer() {
  static const std::vector<Normalizer> all = {Normalizer::softmax, Normalizer::sparsemax,
                                              Normalizer::entmax15};
  return all;
}

inline at::Tensor attend(const Inputs& in, const SparseMask& mask, Normalizer normalizer,
                         std::optional<double> scale = std::nullopt) {
  return sparse_mask_attention(in.query, in.key, in.value, mask, normalizer, scale);
}

inline at::Tensor expected_for(const Inputs& in, const SparseMask& mask, Normalizer normalizer,
                               std::optional<double> scale = std::nullopt) {
  const Inputs wide = in.to(at::kDouble);
  return reference::sparse_mask_attention(wide.query, wide.key, wide.value, mask, normalizer, scale);
}

template <class Function>
std::string message_of(const Function& function) {
  try {
    function();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "nothing was thrown";
}

}  // namespace giantrabbit::ops::test
