// sparse_mask_attention: schemas, calls through the dispatcher, and the shapes of the results (Meta kernels).
// In, the public arguments; out, the operator's result. The arithmetic is in ops/cpu, the gradient in
// ops/autograd.
#include "ops/sparse_mask_attention.h"

#include <ATen/Functions.h>

#include "ops/attention_call.h"
#include "ops/operator_handle.h"

namespace giantrabbit::ops {
namespace {

constexpr const char* kArguments =
    "Tensor query, Tensor key, Tensor value, *, str normalizer=\"sparsemax\", float? scale=None, "
    "bool causal=False, int? window=None, Tensor? key_lengths=None, Tensor? row_offsets=None, "
    "Tensor? key_indices=None, int block_rows=1, int block_columns=1, Tensor? bias=None";

at::Tensor attention_meta(const AttentionCall& call) {
  check_attention_call("sparse_mask_attention", call);
  return empty_like_heads(call.query, call.result_sizes());
}

SupportTensors attention_support_meta(const AttentionCall&) {
  TORCH_CHECK(
      false,
      "sparse_mask_attention_support: expected tensors with data, got meta tensors; the sizes of the support "
      "depend on the values");
}

// The support's size depends on the values. Nothing stands for it here, and backward computes it again.
AttentionForTraining attention_forward_meta(const AttentionCall& call) { return {attention_meta(call), {}}; }

AttentionGradients attention_backward_meta(const at::Tensor& grad, const AttentionCall& call,
                                           at::TensorList /*saved*/, NeededGradients needed) {
  check_attention_call("sparse_mask_attention", call);
  TORCH_CHECK(grad.sym_sizes() == c10::SymIntArrayRef(call.result_sizes()),
              "sparse_mask_attention: the gradient needs the shape of the result, got ", grad.sym_sizes());
  const auto gradient = [](bool wanted, const at::Tensor& input) {
    return wanted ? empty_like_heads(input, input.sym_sizes()) : at::Tensor();
  };
  at::Tensor bias_gradient;
  if (needed[3] && call.bias) bias_gradient = at::empty_like(*call.bias);
  return {gradient(needed[0], call.query), gradient(needed[1], call.key), gradient(needed[2], call.value),
          bias_gradient};
}

}  // namespace

at::Tensor call_attention(const AttentionCall& call) {
  static const auto handle =
      find_operator<ForwardArguments::Signature<at::Tensor>>("giantrabbit::sparse_mask_attention");
  return ForwardArguments::call(handle, call);
}

SupportTensors call_attention_support(const AttentionCall& call) {
  static const auto handle = find_operator<ForwardArguments::Signature<SupportTensors>>(
      "giantrabbit::sparse_mask_attention_support");
  return ForwardArguments::call(handle, call);
}

AttentionForTraining call_attention_forward(const AttentionCall& call) {
  static const auto handle = find_operator<ForwardArguments::Signature<AttentionForTraining>>(
      "giantrabbit::_sparse_mask_attention_forward");
  return ForwardArguments::call(handle, call);
}

AttentionGradients call_attention_backward(const at::Tensor& grad, const AttentionCall& call,
                                           at::TensorList saved, NeededGradients needed) {
  static const auto handle = find_operator<BackwardArguments::Signature<AttentionGradients>>(
      "giantrabbit::_sparse_mask_attention_backward");
  return BackwardArguments::call(handle, grad, call, saved, needed);
}

at::Tensor sparse_mask_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const SparseMask& mask, Normalizer normalizer, std::optional<double> scale,
                                 const std::optional<at::Tensor>& bias) {
  return call_attention({query, key, value, bias, normalizer, scale, mask});
}

AttentionSupport sparse_mask_attention_support(const at::Tensor& query, const at::Tensor& key,
                                               const at::Tensor& value, const SparseMask& mask,
                                               Normalizer normalizer, std::optional<double> scale) {
  auto [output, row_offsets, key_indices, weights, counters] =
      call_attention_support({query, key, value, std::nullopt, normalizer, scale, mask});
  return {output, row_offsets, key_indices, weights, counters};
}

TORCH_LIBRARY_FRAGMENT(giantrabbit, library) {
  const std::string arguments = kArguments;
  const auto define = [&](const std::string& schema) { library.def(schema.c_str()); };
  define("sparse_mask_attention(" + arguments + ") -> Tensor");
  define("sparse_mask_attention_support(" + arguments +
         ") -> (Tensor output, Tensor row_offsets, Tensor key_indices, Tensor weights, Tensor counters)");
  define("_sparse_mask_attention_forward(" + arguments + ") -> (Tensor, Tensor[])");
  define("_sparse_mask_attention_backward(Tensor grad, " + arguments +
         ", Tensor[] saved, bool[4] needed) -> (Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(giantrabbit, Meta, library) {
  library.impl("sparse_mask_attention", TORCH_FN(ForwardArguments::kernel<attention_meta>));
  library.impl("sparse_mask_attention_support", TORCH_FN(ForwardArguments::kernel<attention_support_meta>));
  library.impl("_sparse_mask_attention_forward", TORCH_FN(ForwardArguments::kernel<attention_forward_meta>));
  library.impl("_sparse_mask_attention_backward",
               TORCH_FN(BackwardArguments::kernel<attention_backward_meta>));
}

}  // namespace giantrabbit::ops
