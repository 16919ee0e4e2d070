// Queues the launches of attention; see attention_support.h. Every launch works on the stream that LibTorch
// works on, so that its own operators order with them.
#include "ops/cuda/attention_support.h"

#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

namespace giantrabbit::ops::cuda {
namespace {

// Entries for all rows, before it is known how many they have.
constexpr int64_t kMostNumbers = int64_t{1} << 26;

// int32 and fp64 tensors beside those of the call.
at::TensorOptions options_of(const DeviceCall& call, at::ScalarType dtype) {
  return call.query.options().dtype(dtype);
}

void* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.mutable_data_ptr() : nullptr;
}

// The sums of the numbers before each place, and the sum of all.
at::Tensor running_sums(const at::Tensor& counts) {
  return at::cat({at::zeros({1}, counts.options().dtype(at::kLong)), counts.cumsum(0, at::kLong)});
}

// What launch_attention() needs beside the operands.
at::Tensor workspace_for(Normalizer normalizer, const DeviceCall& call) {
  return at::empty({attention_workspace_bytes(normalizer, call.dtype(), call.problem)},
                   options_of(call, at::kByte));
}

class KeptTensors {
 public:
  KeptTensors(Normalizer normalizer, const DeviceCall& call, Keep keep)
      : states(at::empty({call.rows(), 2}, options_of(call, at::kDouble))),
        counts(at::empty({call.rows()}, options_of(call, at::kLong))),
        wide_blocks(at::empty({call.problem.batch, call.problem.heads,
                               (call.problem.queries + kQueriesPerBlock - 1) / kQueriesPerBlock},
                              options_of(call, at::kInt))) {
    view = {states.mutable_data_ptr<double>(), counts.mutable_data_ptr<int64_t>(),
            wide_blocks.mutable_data_ptr<int32_t>()};
    view.counts_wide_rows = keep == Keep::everything;
    if (normalizer == Normalizer::softmax) return;
    view.capacity = std::clamp<int64_t>(kMostNumbers / call.rows(), 1, kMostKeptKeys);
    keys_ = at::empty({call.rows(), view.capacity}, options_of(call, at::kInt));
    weights_ = at::empty({call.rows(), view.capacity}, options_of(call, accumulate_type(call.query)));
    view.keys = keys_.mutable_data_ptr<int32_t>();
    view.weights = weights_.mutable_data_ptr();
  }

  at::Tensor states;
  at::Tensor counts;
  at::Tensor wide_blocks;
  KeptRows view;

 private:
  at::Tensor keys_;
  at::Tensor weights_;
};

AttentionSupportTensors empty_support(const DeviceCall& call) {
  return {at::zeros({call.rows() + 1}, options_of(call, at::kLong)),
          at::empty({0}, options_of(call, at::kInt)),
          at::empty({0}, options_of(call, accumulate_type(call.query))),
          at::empty({call.rows(), 2}, options_of(call, at::kDouble)),
          at::empty({call.problem.batch, call.problem.heads, 0}, options_of(call, at::kInt))};
}

struct TransposedTensors {
  at::Tensor cells;
  at::Tensor rows;
  at::Tensor weights;
  at::Tensor score_grads;

  TransposedSupport view() const {
    return {cells.mutable_data_ptr<int64_t>(), rows.mutable_data_ptr<int32_t>(), weights.mutable_data_ptr(),
            data_or_null(score_grads)};
  }
};

TransposedTensors transpose(const char* op, const DeviceCall& call, const AttentionSupportTensors& support,
                            const AttentionSupportRows& rows, const at::Tensor& entry_grads) {
  const AttentionProblem& problem = call.problem;
  const int64_t cells = problem.batch * problem.key_heads * problem.keys * kTransposeParts;
  const at::Tensor counts = at::zeros({cells}, options_of(call, at::kInt));
  check_launch(
      op, launch_count_support_columns(problem, rows, counts.mutable_data_ptr<int32_t>(), call.stream()));
  const TransposedTensors to{running_sums(counts), at::empty_like(support.key_indices),
                             at::empty_like(support.weights),
                             entry_grads.defined() ? at::empty_like(entry_grads) : at::Tensor()};
  check_launch(op, launch_transpose_support(call.dtype(), problem, rows, data_or_null(entry_grads), to.view(),
                                            call.stream()));
  return to;
}

}  // namespace

void attend(const char* op, Normalizer normalizer, DeviceCall& call, const at::Tensor& result) {
  call.set_result(result);
  if (result.numel() == 0) return;
  const at::Tensor workspace = workspace_for(normalizer, call);
  check_launch(op, launch_attention(normalizer, call.dtype(), call.problem, call.query.const_data_ptr(),
                                    call.key.const_data_ptr(), call.value.const_data_ptr(),
                                    result.mutable_data_ptr(), workspace.mutable_data_ptr(), call.stream()));
}

AttentionSupportTensors attend_and_keep(const char* op, Normalizer normalizer, DeviceCall& call,
                                        const at::Tensor& result, Keep keep) {
  call.set_result(result);
  AttentionSupportTensors support = empty_support(call);
  if (call.rows() == 0) return support;
  const KeptTensors kept(normalizer, call, keep);
  const at::Tensor workspace = workspace_for(normalizer, call);
  check_launch(
      op, launch_attention(normalizer, call.dtype(), call.problem, call.query.const_data_ptr(),
                           call.key.const_data_ptr(), call.value.const_data_ptr(), result.mutable_data_ptr(),
                           workspace.mutable_data_ptr(), call.stream(), kept.view));
  support.states = kept.states;
  support.wide_blocks = kept.wide_blocks;
  if (normalizer == Normalizer::softmax && keep == Keep::for_backward) return support;
  support.row_offsets = running_sums(kept.counts);
  const auto entries = support.row_offsets[call.rows()].item<int64_t>();
  support.key_indices = at::empty({entries}, support.key_indices.options());
  support.weights = at::empty({entries}, support.weights.options());
  if (entries == 0) return support;
  check_launch(op, launch_attention_support(normalizer, call.dtype(), call.problem,
                                            call.query.const_data_ptr(), call.key.const_data_ptr(), kept.view,
                                            support.row_offsets.const_data_ptr<int64_t>(),
                                            support.key_indices.mutable_data_ptr<int32_t>(),
                                            support.weights.mutable_data_ptr(), call.stream()));
  return support;
}

void differentiate(const char* op, Normalizer normalizer, DeviceCall& call, const at::Tensor& result_grad,
                   const AttentionSupportTensors& support, const AttentionGradients& gradients) {
  const auto& [query_grad, key_grad, value_grad, score_grad] = gradients;
  if (call.rows() == 0) {
    if (key_grad.defined()) key_grad.zero_();
    if (value_grad.defined()) value_grad.zero_();
    return;
  }
  const at::Tensor grad_rows = with_plain_columns(result_grad);
  call.set_result(grad_rows);
  const at::Tensor wide_heads = at::amax(support.wide_blocks, -1);
  const AttentionSupportRows support_rows = support.view(wide_heads);
  const AttentionOperands operands{call.query.const_data_ptr(), call.key.const_data_ptr(),
                                   call.value.const_data_ptr(), grad_rows.const_data_ptr()};
  const auto layout_or_none = [](const at::Tensor& tensor) {
    return tensor.defined() ? layout_of(tensor) : HeadsLayout{};
  };
  at::Tensor entry_grads;
  at::Tensor means;
  if (key_grad.defined()) {
    entry_grads = at::empty_like(support.weights);
    means = at::empty({call.rows()}, options_of(call, at::kDouble));
  }
  if (query_grad.defined() || key_grad.defined() || score_grad.defined()) {
    const AttentionRowGradients rows{data_or_null(entry_grads), static_cast<double*>(data_or_null(means)),
                                     data_or_null(query_grad), layout_or_none(query_grad),
                                     data_or_null(score_grad)};
    check_launch(op, launch_attention_backward_rows(normalizer, call.dtype(), call.problem, operands,
                                                    support_rows, rows, call.stream()));
  }
  if (!key_grad.defined() && !value_grad.defined()) return;
  const TransposedTensors transposed = transpose(op, call, support, support_rows, entry_grads);
  const AttentionKeyGradients keys{data_or_null(key_grad), layout_or_none(key_grad), data_or_null(value_grad),
                                   layout_or_none(value_grad)};
  check_launch(op, launch_attention_backward_keys(
                       normalizer, call.dtype(), call.problem, operands, support_rows, transposed.view(),
                       static_cast<const double*>(data_or_null(means)), keys, call.stream()));
}

}  // namespace giantrabbit::ops::cuda
