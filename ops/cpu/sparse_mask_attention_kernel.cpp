// CPU side of sparse_mask_attention's operators: in, a call from the dispatcher; out, tensors filled by the
// kernels in attention_forward.cpp and attention_backward.cpp. Checks come first, so those see valid problems
// only.
#include <ATen/Dispatch.h>
#include <ATen/ExpandUtils.h>
#include <ATen/Functions.h>

#include "ops/attention_call.h"
#include "ops/cpu/attention_kernels.h"
#include "ops/cpu/exact/forward.h"
#include "ops/cpu/exact/functions.h"

namespace giantrabbit::ops {
namespace {

constexpr const char* kName = "sparse_mask_attention";

at::Tensor checked_output(const char* name, const AttentionCall& call) {
  check_attention_call(name, call);
  return empty_like_heads(call.query, call.result_sizes());
}

// Every visible score in full precision; what goes into `weights`, if it is defined, is for the backward
// pass.
void run_dense(const AttentionCall& call, at::Tensor& output, const at::Tensor& weights) {
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, call.query.scalar_type(), kName,
                                  [&] { cpu::attention_forward<scalar_t>(call, output, weights); });
}

at::Tensor attention_cpu(const AttentionCall& call) {
  at::Tensor output = checked_output(kName, call);
  if (cpu::exact_applies(call)) {
    cpu::exact_forward(call, output, cpu::Keep::nothing);
  } else {
    run_dense(call, output, {});
  }
  return output;
}

AttentionForTraining attention_forward_cpu(const AttentionCall& call) {
  at::Tensor output = checked_output(kName, call);
  if (!cpu::exact_applies(call)) {
    const at::Tensor weights = cpu::room_for_weights(call);
    run_dense(call, output, weights);
    return {output, weights.defined() ? std::vector{weights} : std::vector<at::Tensor>{}};
  }
  const cpu::SparseSupport support = cpu::exact_forward(call, output, cpu::Keep::for_backward);
  return {
      output,
      {support.row_offsets, support.key_indices, support.weights, support.wide_blocks, support.wide_weights}};
}

// AttentionSupport::counters where the dense path did everything.
at::Tensor dense_counters(const AttentionCall& call, const at::Tensor& row_offsets) {
  const int64_t pairs = call.queries() * call.keys();
  const int64_t blocks = (call.queries() + cpu::exact::kBlockQueries - 1) / cpu::exact::kBlockQueries;
  const int64_t row_bytes = (call.width() + call.value_width()) * call.key.element_size();
  const at::Tensor support =
      row_offsets.slice(0, 0, std::nullopt, std::max<int64_t>(1, call.queries())).diff();
  at::Tensor counters =
      at::tensor({int64_t{0}, int64_t{0}, int64_t{0}, int64_t{0}, pairs, blocks * call.keys() * row_bytes},
                 at::kLong)
          .repeat({call.batch(), call.heads(), 1});
  if (call.queries() > 0) counters.select(-1, 2).copy_(support.view({call.batch(), call.heads()}));
  return counters;
}

SupportTensors attention_support_cpu(const AttentionCall& call) {
  at::Tensor output = checked_output("sparse_mask_attention_support", call);
  if (cpu::exact_applies(call)) {
    const cpu::SparseSupport support = cpu::exact_forward(call, output, cpu::Keep::everything);
    return {output, support.row_offsets, support.key_indices.to(at::kLong), support.weights,
            support.counters};
  }
  SupportTensors result =
      AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, call.query.scalar_type(), kName,
                                      [&] { return cpu::attention_support<scalar_t>(call, output); });
  std::get<4>(result) = dense_counters(call, std::get<1>(result));
  return result;
}

AttentionGradients attention_backward_cpu(const at::Tensor& grad, const AttentionCall& call,
                                          at::TensorList saved, NeededGradients needed) {
  check_attention_call(kName, call);
  const std::array<int64_t, 4> expected = {call.batch(), call.heads(), call.queries(), call.value_width()};
  TORCH_CHECK(grad.sizes() == at::IntArrayRef(expected) && grad.scalar_type() == call.query.scalar_type(),
              kName, ": the gradient needs shape ", at::IntArrayRef(expected), " and dtype ",
              call.query.scalar_type(), ", got ", grad.sizes(), " and ", grad.scalar_type());
  const auto empty_gradient = [](bool wanted, const at::Tensor& input) {
    return wanted ? empty_like_heads(input, input.sym_sizes()) : at::Tensor();
  };
  AttentionGradients gradients{empty_gradient(needed[0], call.query), empty_gradient(needed[1], call.key),
                               empty_gradient(needed[2], call.value), at::Tensor()};
  if (cpu::exact_applies(call)) {
    cpu::SparseSupport support;
    if (saved.empty()) {
      at::Tensor output = checked_output(kName, call);
      support = cpu::exact_forward(call, output, cpu::Keep::for_backward);
    } else {
      support = {saved[0], saved[1], saved[2], saved[3], saved[4], {}};
    }
    cpu::exact_backward(grad, call, support, gradients);
    return gradients;
  }
  const at::Tensor weights = saved.empty() ? at::Tensor() : saved[0];
  at::Tensor& bias_gradient = std::get<3>(gradients);
  if (needed[3] && call.bias) {
    const auto dtype = call.query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    bias_gradient = at::empty({call.batch(), call.heads(), call.queries(), call.keys()},
                              call.query.options().dtype(dtype));
  }
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, call.query.scalar_type(), kName,
                                  [&] { cpu::attention_backward<scalar_t>(grad, call, weights, gradients); });
  if (bias_gradient.defined()) {
    bias_gradient = at::sum_to(bias_gradient, call.bias->sizes()).to(call.bias->scalar_type());
  }
  return gradients;
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CPU, library) {
  library.impl("sparse_mask_attention", TORCH_FN(ForwardArguments::kernel<attention_cpu>));
  library.impl("sparse_mask_attention_support", TORCH_FN(ForwardArguments::kernel<attention_support_cpu>));
  library.impl("_sparse_mask_attention_forward", TORCH_FN(ForwardArguments::kernel<attention_forward_cpu>));
  library.impl("_sparse_mask_attention_backward",
               TORCH_FN(BackwardArguments::kernel<attention_backward_cpu>));
}

}  // namespace giantrabbit::ops
