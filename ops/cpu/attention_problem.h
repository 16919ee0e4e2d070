// A checked call of sparse_mask_attention as raw pointers and strides, and the mask's rules as ranges of
// keys: what the block loops of the CPU kernels read. In, an AttentionCall; out, views that live as long as
// the call's tensors. Invariant: make_problem() has read key_lengths and the lists, so every range lies
// inside the keys.
#pragma once

#include <type_traits>

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "ops/attention_call.h"

namespace giantrabbit::ops::cpu {

// Scores, weights and sums: fp32 for fp32 and the 16-bit types, fp64 for fp64.
template <class T>
using Accumulate = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Element (b, h, i, j) of a tensor [batch, heads, length, width].
template <class T>
struct HeadsView {
  T* data = nullptr;
  int64_t batch = 0;
  int64_t head = 0;
  int64_t row = 0;
  int64_t column = 0;

  T* at(int64_t b, int64_t h, int64_t i) const { return data + b * batch + h * head + i * row; }
};

template <class T>
HeadsView<T> heads_view(const at::Tensor& tensor) {
  return {static_cast<T*>(tensor.data_ptr()), tensor.stride(0), tensor.stride(1), tensor.stride(2),
          tensor.stride(3)};
}

struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  bool empty() const { return begin >= end; }
};

// One block of queries of one head.
struct QueryBlock {
  int64_t batch;
  int64_t head;
  Range queries;
  int64_t count() const { return queries.end - queries.begin; }
};

class MaskRules {
 public:
  explicit MaskRules(const AttentionCall& call);

  // The keys between the first and the last that query `i` of a head may see by every rule but the lists.
  Range range(int64_t batch, int64_t query) const;
  bool has_lists() const { return row_offsets_ != nullptr; }
  // Queries that share a row of the lists.
  int64_t list_rows() const { return block_rows_; }
  // The ranges of keys that the lists permit to the query, in ascending order, clipped to `within`.
  template <class Function>
  void for_each_listed(int64_t batch, int64_t head, int64_t query, Range within,
                       const Function& function) const {
    const int64_t* offset = row_offsets_ + batch * batch_stride_ + head * head_stride_ + query / block_rows_;
    for (int64_t entry = offset[0]; entry < offset[1]; ++entry) {
      const Range listed{std::max(key_indices_[entry] * block_columns_, within.begin),
                         std::min((key_indices_[entry] + 1) * block_columns_, within.end)};
      if (!listed.empty()) function(listed);
    }
  }
  // At most this many neighbouring keys are seen by one query.
  int64_t most_keys() const { return std::min(keys_, causal_ ? window_ : 2 * window_ - 1); }

 private:
  int64_t queries_;
  int64_t keys_;
  bool causal_;
  int64_t window_;
  std::array<at::Tensor, 3> tensors_;  // own what the pointers point to
  const int64_t* key_lengths_ = nullptr;
  const int64_t* row_offsets_ = nullptr;
  const int64_t* key_indices_ = nullptr;
  int64_t block_rows_;
  int64_t block_columns_;
  int64_t batch_stride_ = 0;
  int64_t head_stride_ = 0;
};

template <class T>
struct AttentionProblem {
  int64_t batch;
  int64_t heads;
  int64_t key_heads;
  int64_t queries;
  int64_t keys;
  int64_t width;
  int64_t value_width;
  Normalizer normalizer;
  Accumulate<T> scale;
  MaskRules rules;
  HeadsView<const T> query;
  HeadsView<const T> key;
  HeadsView<const T> value;
  HeadsView<const Accumulate<T>> bias;
  at::Tensor bias_tensor;  // owns what `bias` points to

  int64_t group() const { return key_heads == 0 ? 0 : heads / key_heads; }
  // Rows of a head's keys that lie far apart use a part of the caches' sets only. Many of them, gathered or
  // read for many queries, gain from being brought together.
  bool key_rows_are_far(int64_t row, int64_t columns) const {
    constexpr int64_t kNear = 64 * 1024;  // numbers
    return row > columns && keys * columns >= kNear;
  }
  // Queries per block: many share what is read of the keys, as long as the block's scores stay in the
  // second-level cache. Blocks begin at multiples of this. With lists they do not straddle long rows of them.
  int64_t block_queries() const {
    constexpr int64_t kScores = 96 * 1024;
    constexpr int64_t kMost = 96;
    int64_t rows = kMost;
    while (rows > 12 && rows * rules.most_keys() > kScores) rows /= 2;
    if (!rules.has_lists()) return rows;
    const int64_t shared = rules.list_rows();
    if (shared <= 24) return 24 / shared * shared;
    const int64_t pieces = (shared + kMost - 1) / kMost;
    return (shared + pieces - 1) / pieces;
  }
  int64_t blocks() const { return (queries + block_queries() - 1) / block_queries(); }
};

template <class T>
AttentionProblem<T> make_problem(const AttentionCall& call) {
  using A = Accumulate<T>;
  AttentionProblem<T> problem{call.batch(),
                              call.heads(),
                              call.key_heads(),
                              call.queries(),
                              call.keys(),
                              call.width(),
                              call.value_width(),
                              call.normalizer,
                              static_cast<A>(call.score_scale()),
                              MaskRules(call),
                              heads_view<const T>(call.query),
                              heads_view<const T>(call.key),
                              heads_view<const T>(call.value),
                              {},
                              {}};
  if (call.bias) {
    problem.bias_tensor = call.bias->to(c10::CppTypeToScalarType<A>::value)
                              .expand({call.batch(), call.heads(), call.queries(), call.keys()});
    problem.bias = heads_view<const A>(problem.bias_tensor);
  }
  return problem;
}

}  // namespace giantrabbit::ops::cpu
