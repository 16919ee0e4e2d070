// The arguments of lsh_attention as one value, for the kernels behind the dispatcher: in, the arguments of
// the schema; out, this struct and its checks. Internal to ops/. Invariant: the order of arguments in the
// schema is written once, in LshArguments.
#pragma once

#include <array>
#include <tuple>

#include <torch/library.h>

#include "ops/attention_call.h"
#include "ops/lsh_attention.h"

namespace giantrabbit::ops {

struct LshCall {
  at::Tensor query;
  at::Tensor key;
  at::Tensor value;
  at::Tensor buckets;
  Normalizer normalizer = Normalizer::softmax;
  std::optional<double> scale;
  LshPattern pattern;

  // The same inputs, every key visible: shapes, dtypes and the scale of the scores follow from it.
  AttentionCall attention() const { return {query, key, value, std::nullopt, normalizer, scale, {}}; }
};

// The result and what backward may use instead of computing it again (cpu/lsh_kernels.h).
using LshForTraining = std::tuple<at::Tensor, std::vector<at::Tensor>>;
// Of query, key and value; those not asked for are undefined.
using LshGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using LshNeeded = std::array<bool, 3>;

// Everything that can be judged without reading a tensor.
void check_lsh_call(const LshCall& call);
void check_lsh_gradient(const at::Tensor& grad, const LshCall& call);
void check_lsh_hashing(const at::Tensor& vectors, const at::Tensor& rotations, at::IntArrayRef bucket_counts,
                       const std::optional<at::Tensor>& valid);

// Through the dispatcher, below whatever keys are excluded.
at::Tensor call_lsh(const LshCall& call);
LshForTraining call_lsh_forward(const LshCall& call);
LshGradients call_lsh_backward(const at::Tensor& grad, const LshCall& call, at::TensorList saved,
                               LshNeeded needed);
at::Tensor call_lsh_buckets(const at::Tensor& vectors, const at::Tensor& rotations,
                            at::IntArrayRef bucket_counts, const std::optional<at::Tensor>& valid);

// As OperatorArguments of attention_call.h.
template <class Before, class After>
struct LshArguments;

template <class... Before, class... After>
struct LshArguments<std::tuple<Before...>, std::tuple<After...>> {
  template <class Result>
  using Signature = Result(Before..., const at::Tensor&, const at::Tensor&, const at::Tensor&,
                           const at::Tensor&, std::string_view, std::optional<double>, int64_t, int64_t,
                           int64_t, bool, bool, const std::optional<at::Tensor>&, After...);

  // A kernel for the dispatcher from a function of (before, call, after).
  template <auto function>
  static auto kernel(Before... before, const at::Tensor& query, const at::Tensor& key,
                     const at::Tensor& value, const at::Tensor& buckets, std::string_view normalizer,
                     std::optional<double> scale, int64_t chunk_length, int64_t chunks_before,
                     int64_t chunks_after, bool causal, bool exclude_self,
                     const std::optional<at::Tensor>& valid, After... after) {
    const LshPattern pattern{chunk_length, chunks_before, chunks_after, causal, exclude_self, valid};
    return function(before...,
                    LshCall{query, key, value, buckets, parse_normalizer(normalizer), scale, pattern},
                    after...);
  }

  template <class Handle>
  static auto call(const Handle& handle, Before... before, const LshCall& of, After... after) {
    const LshPattern& pattern = of.pattern;
    return handle.call(before..., of.query, of.key, of.value, of.buckets, normalizer_name(of.normalizer),
                       of.scale, pattern.chunk_length, pattern.chunks_before, pattern.chunks_after,
                       pattern.causal, pattern.exclude_self, pattern.valid, after...);
  }
};

using LshForwardArguments = LshArguments<std::tuple<>, std::tuple<>>;
using LshBackwardArguments =
    LshArguments<std::tuple<const at::Tensor&>, std::tuple<at::TensorList, LshNeeded>>;

}  // namespace giantrabbit::ops
