// The arguments of sparse_mask_attention as one value, for the kernels behind the dispatcher: in, the
// arguments of the schema; out, this struct, its checks and the shapes that follow from it. Internal to ops/.
// Invariant: the order of arguments in the schema is written once, in OperatorArguments.
#pragma once

#include <array>
#include <tuple>

#include <torch/library.h>

#include "ops/sparse_mask_attention.h"

namespace giantrabbit::ops {

using SymbolicSizes = std::array<c10::SymInt, 4>;

struct AttentionCall {
  at::Tensor query;
  at::Tensor key;
  at::Tensor value;
  std::optional<at::Tensor> bias;
  Normalizer normalizer = Normalizer::softmax;
  std::optional<double> scale;
  SparseMask mask;

  int64_t batch() const { return query.size(0); }
  int64_t heads() const { return query.size(1); }
  int64_t queries() const { return query.size(2); }
  int64_t width() const { return query.size(3); }
  int64_t key_heads() const { return key.size(1); }
  int64_t keys() const { return key.size(2); }
  int64_t value_width() const { return value.size(3); }
  // [B, H, M, e] and [B, H, M, N]. While a call is traced its sizes may be symbols, which the functions above
  // would fix to the numbers of the moment: checks and Meta kernels, which tracing runs, use these.
  SymbolicSizes result_sizes() const;
  SymbolicSizes score_sizes() const;
  // 1/sqrt(d) if none is given, and 1 for d = 0, where every score is an empty sum.
  double score_scale() const;
};

// Gradients of query, key, value and bias; those not asked for are undefined.
using AttentionGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
// Output, row_offsets, key_indices, weights and counters of AttentionSupport.
using SupportTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
// The result and what backward may use instead of computing it again: nothing, or the tensors of a kernel's
// own choice (cpu/exact/forward.h).
using AttentionForTraining = std::tuple<at::Tensor, std::vector<at::Tensor>>;
using NeededGradients = std::array<bool, 4>;

// Shapes, dtypes and devices, everything that can be judged without reading a tensor. `name` is the
// operator's.
void check_attention_call(const char* name, const AttentionCall& call);
// Of query, key and value alone, whose dtypes autocast may still make equal.
void check_attention_shapes(const char* name, const AttentionCall& call);
// A tensor that is added to the scores; `argument` is what the caller calls it. A bool one says what may be
// seen.
void check_added_to_scores(const char* name, const char* argument, const AttentionCall& call,
                           const at::Tensor& added, bool may_be_bool = false);
// A tensor [batch, heads, length, width] with the memory order of `like`, so that a transposed view of
// [batch, length, heads, width] gives a result that needs no copy to go back.
at::Tensor empty_like_heads(const at::Tensor& like, c10::SymIntArrayRef sizes);

// Through the dispatcher, below whatever keys are excluded.
at::Tensor call_attention(const AttentionCall& call);
SupportTensors call_attention_support(const AttentionCall& call);
AttentionForTraining call_attention_forward(const AttentionCall& call);
AttentionGradients call_attention_backward(const at::Tensor& grad, const AttentionCall& call,
                                           at::TensorList saved, NeededGradients needed);

// The dispatcher hands a kernel the schema's arguments one by one; `Before` stands in front of them (the
// gradient) and `After` behind them (the gradients asked for).
template <class Before, class After>
struct OperatorArguments;

template <class... Before, class... After>
struct OperatorArguments<std::tuple<Before...>, std::tuple<After...>> {
  template <class Result>
  using Signature = Result(Before..., const at::Tensor&, const at::Tensor&, const at::Tensor&,
                           std::string_view, std::optional<double>, bool, std::optional<int64_t>,
                           const std::optional<at::Tensor>&, const std::optional<at::Tensor>&,
                           const std::optional<at::Tensor>&, int64_t, int64_t,
                           const std::optional<at::Tensor>&, After...);

  // A kernel for the dispatcher from a function of (before, call, after). Its parameters are the schema's.
  template <auto function>
  // NOLINTNEXTLINE(readability-function-size)
  static auto kernel(Before... before, const at::Tensor& query, const at::Tensor& key,
                     const at::Tensor& value, std::string_view normalizer, std::optional<double> scale,
                     bool causal, std::optional<int64_t> window, const std::optional<at::Tensor>& key_lengths,
                     const std::optional<at::Tensor>& row_offsets,
                     const std::optional<at::Tensor>& key_indices, int64_t block_rows, int64_t block_columns,
                     const std::optional<at::Tensor>& bias, After... after) {
    const SparseMask mask{causal, window, key_lengths, row_offsets, key_indices, block_rows, block_columns};
    return function(before...,
                    AttentionCall{query, key, value, bias, parse_normalizer(normalizer), scale, mask},
                    after...);
  }

  template <class Handle>
  static auto call(const Handle& handle, Before... before, const AttentionCall& of, After... after) {
    const SparseMask& mask = of.mask;
    return handle.call(before..., of.query, of.key, of.value, normalizer_name(of.normalizer), of.scale,
                       mask.causal, mask.window, mask.key_lengths, mask.row_offsets, mask.key_indices,
                       mask.block_rows, mask.block_columns, of.bias, after...);
  }
};

using ForwardArguments = OperatorArguments<std::tuple<>, std::tuple<>>;
using BackwardArguments =
    OperatorArguments<std::tuple<const at::Tensor&>, std::tuple<at::TensorList, NeededGradients>>;

}  // namespace giantrabbit::ops
