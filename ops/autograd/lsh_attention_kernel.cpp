// Gradient of lsh_attention: in, the call; out, its result with a backward node. Saved are the inputs and
// what the kernel kept (cpu/lsh_kernels.h): nothing of size N x N. Only the gradients that are needed are
// computed. Buckets have no gradient. A second derivative throws and names the backward operator.
#include <ATen/TensorSubclassLikeUtils.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/lsh_call.h"

namespace giantrabbit::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr size_t kLshCallTensors = 5;  // what the kernel kept follows them

void save_lsh_call(AutogradContext* context, const LshCall& call, const std::vector<at::Tensor>& kept) {
  const LshPattern& pattern = call.pattern;
  variable_list saved{call.query, call.key, call.value, call.buckets, pattern.valid.value_or(at::Tensor())};
  saved.insert(saved.end(), kept.begin(), kept.end());
  context->save_for_backward(std::move(saved));
  context->saved_data["normalizer"] = static_cast<int64_t>(call.normalizer);
  context->saved_data["scale"] = call.scale;
  context->saved_data["chunk_length"] = pattern.chunk_length;
  context->saved_data["chunks_before"] = pattern.chunks_before;
  context->saved_data["chunks_after"] = pattern.chunks_after;
  context->saved_data["causal"] = pattern.causal;
  context->saved_data["exclude_self"] = pattern.exclude_self;
}

LshCall saved_lsh_call(AutogradContext* context, const variable_list& saved) {
  auto& data = context->saved_data;
  const LshPattern pattern{
      data["chunk_length"].toInt(),  data["chunks_before"].toInt(),
      data["chunks_after"].toInt(),  data["causal"].toBool(),
      data["exclude_self"].toBool(), saved[4].defined() ? std::optional<at::Tensor>(saved[4]) : std::nullopt};
  return {saved[0],
          saved[1],
          saved[2],
          saved[3],
          static_cast<Normalizer>(data["normalizer"].toInt()),
          data["scale"].toOptional<double>(),
          pattern};
}

struct LshAttention : torch::autograd::Function<LshAttention> {
  // The tensors that take part in differentiation stand apart from the call: apply() looks at its arguments
  // only.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, LshCall call) {
    at::AutoDispatchBelowADInplaceOrView below;
    call.query = query;
    call.key = key;
    call.value = value;
    context->set_materialize_grads(false);
    // Traced: as in sparse_mask_attention_kernel.cpp.
    if (at::areAnyTensorSubclassLike({query, key, value})) {
      save_lsh_call(context, call, {});
      return call_lsh(call);
    }
    auto [result, kept] = call_lsh_forward(call);
    save_lsh_call(context, call, kept);
    return result;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    variable_list gradients(4);
    if (!grads[0].defined()) return gradients;
    const variable_list saved = context->get_saved_variables();
    LshNeeded needed{};
    for (size_t input = 0; input < needed.size(); ++input) needed[input] = context->needs_input_grad(input);
    std::tie(gradients[0], gradients[1], gradients[2]) = call_lsh_backward(
        grads[0], saved_lsh_call(context, saved), at::TensorList(saved).slice(kLshCallTensors), needed);
    return gradients;
  }
};

at::Tensor lsh_attention_autograd(const LshCall& call) {
  if (at::GradMode::is_enabled() &&
      (call.query.requires_grad() || call.key.requires_grad() || call.value.requires_grad())) {
    return LshAttention::apply(call.query, call.key, call.value, call);
  }
  at::AutoDispatchBelowADInplaceOrView below;
  return call_lsh(call);
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, Autograd, library) {
  library.impl("lsh_attention", TORCH_FN(LshForwardArguments::kernel<lsh_attention_autograd>));
  for (const char* name : {"lsh_buckets", "_lsh_attention_forward", "_lsh_attention_backward"}) {
    library.impl(name, torch::autograd::autogradNotImplementedFallback());
  }
}

}  // namespace giantrabbit::ops
