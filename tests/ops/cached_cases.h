// Problems for the tests of cached attention: queries and caches of many kinds, and the definition in double
// for sequences of different lengths.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "ops/cached_attention.h"
#include "ops/reference/sparse_mask_attention.h"

namespace giantrabbit::ops::test {

struct CachedInputs {
  at::Tensor query;  // [B, H, M, d]
  at::Tensor key;    // [B, G, N, d]
  at::Tensor value;  // [B, G, N, e]
};

inline CachedInputs random_cached(int64_t batch, int64_t heads, int64_t key_heads, int64_t queries,
                                  int64_t keys, int64_t width, int64_t value_width) {
  return {torch::randn({batch, heads, queries, width}), torch::randn({batch, key_heads, keys, width}),
          torch::randn({batch, key_heads, keys, value_width})};
}

inline KeyValueCache cache_of(const CachedInputs& in, const std::optional<at::Tensor>& lengths = {}) {
  KeyValueCache cache({in.key.size(0), in.key.size(1), in.key.size(3), in.value.size(3)});
  cache.append(in.key, in.value, lengths);
  return cache;
}

// The definition in double, sequence by sequence.
inline at::Tensor expected_cached(const CachedInputs& in, const std::vector<int64_t>& lengths,
                                  Normalizer normalizer, std::optional<double> scale = {},
                                  std::optional<int64_t> window = {}) {
  std::vector<at::Tensor> rows;
  for (size_t b = 0; b < lengths.size(); ++b) {
    const auto of = [&](const at::Tensor& tensor, int64_t length) {
      return tensor.narrow(0, static_cast<int64_t>(b), 1).narrow(2, 0, length).to(at::kDouble);
    };
    SparseMask mask;
    mask.causal = true;
    mask.window = window;
    rows.push_back(reference::sparse_mask_attention(of(in.query, in.query.size(2)), of(in.key, lengths[b]),
                                                    of(in.value, lengths[b]), mask, normalizer, scale));
  }
  return at::cat(rows);
}

// How far rounding may move a result: scores are off by at most (d + 4) 2^-24 |q| |k|, a weight by twice that
// (entmax-1.5 with its factors of 1/2 and 2 likewise; softmax in proportion to its weights), and a support
// sums as many of them.
inline double cached_tolerance(const CachedInputs& in, double scale, double support) {
  const double query = in.query.to(at::kDouble).norm(2, -1).max().item<double>();
  const double key = in.key.to(at::kDouble).norm(2, -1).max().item<double>();
  const double value = in.value.abs().max().item<double>();
  const double score_error =
      static_cast<double>(in.key.size(3) + 4) * 0x1p-24 * query * key * std::abs(scale);
  return (2.0 * support * std::min(1.0, score_error) + 2e-6) * value;
}

struct NamedCase {
  std::string name;
  CachedInputs inputs;
  double scale;
};

// What defeats careless bounds: ties, duplicates, constants, huge and tiny numbers, one huge key or channel.
inline std::vector<NamedCase> hostile_cases(int64_t keys, int64_t width) {
  const double unit = 1.0 / std::sqrt(static_cast<double>(width));
  const auto make = [&] { return random_cached(1, 2, 2, 1, keys, width, width); };
  std::vector<NamedCase> cases;
  const auto add = [&](const std::string& name, double scale,
                       const std::function<void(CachedInputs&)>& change) {
    CachedInputs in = make();
    change(in);
    cases.push_back({name, in, scale});
  };
  for (const double spread : {0.001, 0.03, 0.1, 0.3, 1.0, 3.0, 30.0}) {
    add("spread " + std::to_string(spread), spread * unit, [](CachedInputs&) {});
  }
  add("negative scale", -unit, [](CachedInputs&) {});
  add("scale 0", 0.0, [](CachedInputs&) {});
  add("duplicates", unit, [&](CachedInputs& in) {
    in.key = in.key.narrow(2, 0, keys / 5 + 1).repeat({1, 1, 5, 1}).narrow(2, 0, keys).contiguous();
  });
  add("constant keys", unit,
      [](CachedInputs& in) { in.key = in.key.narrow(2, 0, 1).expand_as(in.key).contiguous(); });
  add("zero keys", unit, [](CachedInputs& in) { in.key.zero_(); });
  add("zero query", unit, [](CachedInputs& in) { in.query.zero_(); });
  add("signs", 0.25, [](CachedInputs& in) {
    in.key.sign_();
    in.query.sign_();
  });
  add("small whole numbers", 0.5, [](CachedInputs& in) {
    in.key.round_();
    in.query.round_();
  });
  add("huge key", unit, [&](CachedInputs& in) { in.key.select(2, keys / 2).mul_(1000.0); });
  add("huge channel", unit, [](CachedInputs& in) { in.key.select(3, 1).mul_(50.0); });
  add("huge", unit, [](CachedInputs& in) {
    in.key.mul_(1e15);
    in.query.mul_(1e-15);
  });
  add("huge scores", unit, [](CachedInputs& in) { in.key.mul_(1e10); });
  add("tiny", unit, [](CachedInputs& in) {
    in.key.mul_(1e-20);
    in.query.mul_(1e20);
  });
  add("denormal keys", unit, [](CachedInputs& in) { in.key.mul_(1e-40); });
  add("tiny queries", unit, [](CachedInputs& in) { in.query.mul_(1e-35); });
  add("topics", unit, [&](CachedInputs& in) {
    const at::Tensor topics = torch::randn({1, 2, (keys + 63) / 64, width}).repeat_interleave(64, 2);
    in.key = topics.narrow(2, 0, keys) + 0.3 * in.key;
  });
  add("increasing", unit, [&](CachedInputs& in) {
    in.key.mul_(torch::linspace(0, 2, keys).view({1, 1, keys, 1}));
  });
  return cases;
}

}  // namespace giantrabbit::ops::test
