// CPU side of lsh_attention's operators: in, a call from the dispatcher; out, tensors filled by the kernels
// of lsh_kernels.h in the accumulation type and given the dtype and the memory order of the inputs. Kept for
// backward: the positions in the order of their buckets, then for softmax the log-sum-exp of every query and
// the result in the accumulation type, else the support.
#include <ATen/Dispatch.h>
#include <ATen/Functions.h>

#include "ops/cpu/lsh_kernels.h"

namespace giantrabbit::ops {
namespace {

// The rows themselves where they are as wanted.
at::Tensor in_order_of(const at::Tensor& like, const at::Tensor& rows) {
  if (like.is_contiguous() && like.scalar_type() == rows.scalar_type()) return rows;
  return empty_like_heads(like, rows.sym_sizes()).copy_(rows);
}

template <class A>
LshForTraining forward_rows(const LshCall& call) {
  const at::Tensor order =
      std::get<1>(call.buckets.contiguous().sort(/*stable=*/true, -1, /*descending=*/false));
  const cpu::LshProblem<A> problem(call, order);
  const auto options = call.query.options().dtype(c10::CppTypeToScalarType<A>::value);
  const AttentionCall of = call.attention();
  const at::Tensor output = at::zeros({of.batch(), of.heads(), of.queries(), of.value_width()}, options);
  std::vector<at::Tensor> kept{order};
  if (problem.normalizer == Normalizer::softmax) {
    const at::Tensor log_sums = at::empty({of.batch(), of.heads(), of.queries()}, options);
    if (problem.length > 0) cpu::lsh_softmax_forward(problem, output, log_sums);
    kept.insert(kept.end(), {log_sums, output});
  } else {
    cpu::LshSupport support{at::zeros({1}, at::kLong), at::empty({0}, at::kInt), at::empty({0}, options)};
    if (problem.length > 0) support = cpu::lsh_sparse_forward(problem, output);
    kept.insert(kept.end(), {support.row_offsets, support.key_indices, support.weights});
  }
  const at::Tensor result = in_order_of(call.query, output);
  const bool is_kept = problem.normalizer == Normalizer::softmax && result.is_same(output);
  return {is_kept ? output.clone() : result, kept};
}

LshForTraining lsh_forward_cpu(const LshCall& call) {
  check_lsh_call(call);
  return call.query.scalar_type() == at::kDouble ? forward_rows<double>(call) : forward_rows<float>(call);
}

at::Tensor lsh_attention_cpu(const LshCall& call) { return std::get<0>(lsh_forward_cpu(call)); }

template <class A>
LshGradients backward_rows(const at::Tensor& grad, const LshCall& call, at::TensorList kept,
                           LshNeeded needed) {
  using Problem = cpu::LshProblem<A>;
  const Problem problem(call, kept[0]);
  const auto zeros = [](bool wanted, const at::Tensor& input) {
    return wanted ? at::zeros(input.sizes(), input.options().dtype(c10::CppTypeToScalarType<A>::value))
                  : at::Tensor();
  };
  const cpu::LshTargets targets{zeros(needed[0], call.query), zeros(needed[1], call.key),
                                zeros(needed[2], call.value)};
  const at::Tensor rows = Problem::rows_of(grad);
  if (problem.length > 0 && problem.normalizer == Normalizer::softmax) {
    cpu::lsh_softmax_backward(problem, rows, kept[2], kept[1], targets);
  } else if (problem.length > 0) {
    cpu::lsh_sparse_backward(problem, rows, {kept[1], kept[2], kept[3]}, targets);
  }
  const auto result = [](const at::Tensor& input, const at::Tensor& gradient) {
    return gradient.defined() ? in_order_of(input, gradient) : at::Tensor();
  };
  return {result(call.query, targets.query), result(call.key, targets.key),
          result(call.value, targets.value)};
}

LshGradients lsh_backward_cpu(const at::Tensor& grad, const LshCall& call, at::TensorList saved,
                              LshNeeded needed) {
  check_lsh_call(call);
  check_lsh_gradient(grad, call);
  const std::vector<at::Tensor> kept = saved.empty() ? std::get<1>(lsh_forward_cpu(call)) : saved.vec();
  return call.query.scalar_type() == at::kDouble ? backward_rows<double>(grad, call, kept, needed)
                                                 : backward_rows<float>(grad, call, kept, needed);
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CPU, library) {
  library.impl("lsh_attention", TORCH_FN(LshForwardArguments::kernel<lsh_attention_cpu>));
  library.impl("_lsh_attention_forward", TORCH_FN(LshForwardArguments::kernel<lsh_forward_cpu>));
  library.impl("_lsh_attention_backward", TORCH_FN(LshBackwardArguments::kernel<lsh_backward_cpu>));
}

}  // namespace giantrabbit::ops
