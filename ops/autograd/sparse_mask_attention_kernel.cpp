// Gradient of sparse_mask_attention: in, the call; out, its result with a backward node. Saved are the inputs
// and the sparse support, if the kernel found one: nothing of size queries x keys; without it backward
// recomputes the weights block by block. Only the gradients that are needed are computed. A second derivative
// throws: the backward operator's own gradient is not implemented.
#include <ATen/Functions.h>
#include <ATen/TensorSubclassLikeUtils.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/attention_call.h"

namespace giantrabbit::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What a call holds besides the four differentiable tensors, in IValues between forward and backward.
void save_call(AutogradContext* context, const AttentionCall& call, const std::vector<at::Tensor>& support) {
  const SparseMask& mask = call.mask;
  const auto tensor = [](const std::optional<at::Tensor>& value) { return value.value_or(at::Tensor()); };
  variable_list saved{call.query,
                      call.key,
                      call.value,
                      tensor(call.bias),
                      tensor(mask.key_lengths),
                      tensor(mask.row_offsets),
                      tensor(mask.key_indices)};
  saved.insert(saved.end(), support.begin(), support.end());
  context->save_for_backward(std::move(saved));
  context->saved_data["normalizer"] = static_cast<int64_t>(call.normalizer);
  context->saved_data["scale"] = call.scale;
  context->saved_data["causal"] = mask.causal;
  context->saved_data["window"] = mask.window;
  context->saved_data["block_rows"] = mask.block_rows;
  context->saved_data["block_columns"] = mask.block_columns;
}

constexpr size_t kCallTensors = 7;  // the saved support follows them

AttentionCall saved_call(AutogradContext* context, const variable_list& saved) {
  const auto optional = [](const at::Tensor& value) {
    return value.defined() ? std::optional<at::Tensor>(value) : std::nullopt;
  };
  auto& data = context->saved_data;
  SparseMask mask{data["causal"].toBool(),      data["window"].toOptional<int64_t>(),
                  optional(saved[4]),           optional(saved[5]),
                  optional(saved[6]),           data["block_rows"].toInt(),
                  data["block_columns"].toInt()};
  return {saved[0],
          saved[1],
          saved[2],
          optional(saved[3]),
          static_cast<Normalizer>(data["normalizer"].toInt()),
          data["scale"].toOptional<double>(),
          std::move(mask)};
}

struct SparseMaskAttention : torch::autograd::Function<SparseMaskAttention> {
  // The tensors that take part in differentiation stand apart from the call: apply() looks at its arguments
  // only.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const std::optional<at::Tensor>& bias,
                            AttentionCall call) {
    at::AutoDispatchBelowADInplaceOrView below;
    call.query = query;
    call.key = key;
    call.value = value;
    call.bias = bias;
    context->set_materialize_grads(false);
    // What the forward operator keeps has a size that depends on the values. Who traces gets the operator
    // whose result follows from the shapes, and backward computes the rest again.
    if (at::areAnyTensorSubclassLike({query, key, value})) {
      save_call(context, call, {});
      return call_attention(call);
    }
    auto [result, support] = call_attention_forward(call);
    save_call(context, call, support);
    return result;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    variable_list gradients(5);
    if (!grads[0].defined()) return gradients;
    const variable_list saved = context->get_saved_variables();
    const AttentionCall call = saved_call(context, saved);
    const at::TensorList support = at::TensorList(saved).slice(kCallTensors);
    NeededGradients needed{};
    for (size_t input = 0; input < 3; ++input) needed[input] = context->needs_input_grad(input);
    needed[3] = call.bias.has_value() && context->needs_input_grad(3);
    std::tie(gradients[0], gradients[1], gradients[2], gradients[3]) =
        call_attention_backward(grads[0], call, support, needed);
    return gradients;
  }
};

struct OnceDifferentiable : torch::autograd::Function<OnceDifferentiable> {
  static variable_list forward(AutogradContext* context, const at::Tensor& grad, const at::Tensor& query,
                               const at::Tensor& key, const at::Tensor& value,
                               const std::optional<at::Tensor>& bias, AttentionCall call,
                               std::vector<at::Tensor> saved, NeededGradients needed) {
    at::AutoDispatchBelowADInplaceOrView below;
    call.query = query;
    call.key = key;
    call.value = value;
    call.bias = bias;
    context->set_materialize_grads(false);
    auto [query_grad, key_grad, value_grad, bias_grad] = call_attention_backward(grad, call, saved, needed);
    variable_list gradients = {query_grad, key_grad, value_grad, bias_grad};
    for (at::Tensor& gradient : gradients) {  // a node cannot have an undefined output
      if (!gradient.defined()) gradient = at::empty({0}, grad.options());
    }
    return gradients;
  }

  static variable_list backward(AutogradContext*, const variable_list&) {
    TORCH_CHECK(false, "sparse_mask_attention: expected to be differentiated once, got a second derivative");
  }
};

bool wants_gradient(const AttentionCall& call) {
  return at::GradMode::is_enabled() &&
         (call.query.requires_grad() || call.key.requires_grad() || call.value.requires_grad() ||
          (call.bias && call.bias->requires_grad()));
}

at::Tensor attention_autograd(const AttentionCall& call) {
  if (wants_gradient(call)) {
    return SparseMaskAttention::apply(call.query, call.key, call.value, call.bias, call);
  }
  at::AutoDispatchBelowADInplaceOrView below;
  return call_attention(call);
}

AttentionGradients attention_backward_autograd(const at::Tensor& grad, const AttentionCall& call,
                                               at::TensorList saved, NeededGradients needed) {
  if (at::GradMode::is_enabled() && (grad.requires_grad() || wants_gradient(call))) {
    variable_list gradients = OnceDifferentiable::apply(grad, call.query, call.key, call.value, call.bias,
                                                        call, saved.vec(), needed);
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (!needed[i]) gradients[i] = at::Tensor();
    }
    return {gradients[0], gradients[1], gradients[2], gradients[3]};
  }
  at::AutoDispatchBelowADInplaceOrView below;
  return call_attention_backward(grad, call, saved, needed);
}

AttentionForTraining attention_forward_autograd(const AttentionCall& call) {
  at::AutoDispatchBelowADInplaceOrView below;
  return call_attention_forward(call);
}

SupportTensors attention_support_autograd(const AttentionCall& call) {
  at::AutoDispatchBelowADInplaceOrView below;
  return call_attention_support(call);
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, Autograd, library) {
  library.impl("sparse_mask_attention", TORCH_FN(ForwardArguments::kernel<attention_autograd>));
  library.impl("sparse_mask_attention_support",
               TORCH_FN(ForwardArguments::kernel<attention_support_autograd>));
  library.impl("_sparse_mask_attention_forward",
               TORCH_FN(ForwardArguments::kernel<attention_forward_autograd>));
  library.impl("_sparse_mask_attention_backward",
               TORCH_FN(BackwardArguments::kernel<attention_backward_autograd>));
}

}  // namespace giantrabbit::ops
