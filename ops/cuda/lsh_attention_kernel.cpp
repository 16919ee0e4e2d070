// Registers the CUDA kernels of lsh_buckets, lsh_attention and its gradient; the steps are those of
// lsh_kernels.h. Kept for backward, in the computing type: the positions in the order of their buckets, then
// for softmax the log-sum-exp of every query and the result, else the support.
#include <ATen/Functions.h>
#include <torch/library.h>

#include "ops/cuda/lsh_kernels.h"
#include "ops/cuda/tensors.h"
#include "ops/lsh_call.h"

namespace giantrabbit::ops {
namespace {

constexpr const char* kLshOp = "lsh_attention";
// Scores of so many heads are kept at a time that they take no more, if there is more than one.
constexpr int64_t kScoreBytes = int64_t{256} << 20;

at::Tensor with_plain_rows(const at::Tensor& tensor) {
  return tensor.stride(3) == 1 || tensor.size(3) <= 1 ? tensor : tensor.contiguous();
}

cuda::HeadsLayout heads_layout_of(const at::Tensor& tensor) {
  return {tensor.stride(0), tensor.stride(1), tensor.stride(2)};
}

at::ScalarType computing_type(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor as_inputs(const at::Tensor& like, const at::Tensor& rows) {
  return empty_like_heads(like, rows.sym_sizes()).copy_(rows);
}

void* pointer_of(const at::Tensor& tensor) { return tensor.defined() ? tensor.mutable_data_ptr() : nullptr; }

// A call with the tensors that its plain arguments point to.
struct CudaLshCall {
  at::Tensor query;
  at::Tensor key;
  at::Tensor value;
  at::Tensor order;
  at::Tensor valid;
  Normalizer normalizer;
  cuda::Dtype dtype;
  cuda::LshProblem problem{};
  cuda::LshInputs inputs{};
  void* stream;

  CudaLshCall(const LshCall& call, const at::Tensor& of_positions)
      : query(with_plain_rows(call.query)),
        key(with_plain_rows(call.key)),
        value(with_plain_rows(call.value)),
        order(of_positions),
        normalizer(call.normalizer),
        dtype(cuda::dtype_of(call.query)),
        stream(cuda::current_stream(call.query)) {
    const LshPattern& pattern = call.pattern;
    if (pattern.valid) valid = pattern.valid->contiguous();
    problem = {query.size(0),
               query.size(1),
               query.size(2),
               query.size(3),
               value.size(3),
               heads_layout_of(query),
               heads_layout_of(key),
               heads_layout_of(value),
               call.attention().score_scale(),
               order.size(2),
               pattern.chunk_length,
               pattern.chunks_before,
               pattern.chunks_after,
               pattern.causal,
               pattern.exclude_self,
               valid.defined() ? valid.const_data_ptr<bool>() : nullptr,
               order.const_data_ptr<int64_t>()};
    inputs = {query.const_data_ptr(), key.const_data_ptr(), value.const_data_ptr()};
  }

  int64_t heads() const { return problem.batch * problem.heads; }
  int64_t rows() const { return heads() * problem.length; }
  bool empty() const { return rows() == 0; }
  at::TensorOptions numbers() const { return query.options().dtype(computing_type(query)); }
  at::TensorOptions integers() const { return query.options().dtype(at::kLong); }
};

LshForTraining softmax_forward(const CudaLshCall& call, const at::Tensor& output) {
  const at::Tensor log_sums =
      at::full({call.rows()}, -std::numeric_limits<double>::infinity(), call.numbers());
  if (!call.empty()) {
    cuda::check_launch(kLshOp,
                       cuda::launch_lsh_softmax(call.dtype, call.problem, call.inputs, pointer_of(output),
                                                pointer_of(log_sums), call.stream));
  }
  return {output, {call.order, log_sums, output}};
}

// The support of all heads so far.
struct SupportParts {
  std::vector<at::Tensor> keys;
  std::vector<at::Tensor> queries;
  std::vector<at::Tensor> weights;
};

// The positions in which rounds put a row, and what all heads share.
struct SparseBuffers {
  at::Tensor numbers;
  at::Tensor maxima;
  at::Tensor taus;
  at::Tensor counts;

  SparseBuffers(const CudaLshCall& call, bool with_support)
      : numbers(at::empty({call.rows() * call.problem.rounds}, call.integers().dtype(at::kInt))) {
    if (!with_support) return;
    maxima = at::empty({call.rows()}, call.numbers());
    taus = at::empty({call.rows()}, call.numbers().dtype(at::kDouble));
    counts = at::zeros({call.rows()}, call.integers());
  }
  cuda::LshThresholds thresholds() const {
    return {pointer_of(maxima), static_cast<double*>(pointer_of(taus)),
            static_cast<int64_t*>(pointer_of(counts))};
  }
};

// How many weights there are is asked of the device: the host waits here.
void append_support(const CudaLshCall& call, const cuda::LshHeads& heads, const SparseBuffers& buffers,
                    const at::Tensor& scores, SupportParts& parts) {
  const int64_t first = heads.first * call.problem.length;
  const int64_t count = heads.count * call.problem.length;
  const at::Tensor offsets = at::zeros({call.rows() + 1}, call.integers());
  offsets.narrow(0, first + 1, count).copy_(buffers.counts.narrow(0, first, count).cumsum(0));
  const int64_t total = offsets[first + count].item<int64_t>();
  parts.keys.push_back(at::empty({total}, call.integers()));
  parts.queries.push_back(at::empty({total}, call.integers()));
  parts.weights.push_back(at::empty({total}, call.numbers()));
  cuda::check_launch(
      kLshOp, cuda::launch_lsh_support(
                  call.normalizer, call.dtype, call.problem, heads, buffers.numbers.const_data_ptr<int32_t>(),
                  scores.const_data_ptr(), buffers.thresholds(),
                  {offsets.const_data_ptr<int64_t>(), parts.keys.back().mutable_data_ptr<int64_t>(),
                   parts.queries.back().mutable_data_ptr<int64_t>(), parts.weights.back().mutable_data_ptr()},
                  call.stream));
}

LshForTraining sparse_forward(const CudaLshCall& call, const at::Tensor& output, bool with_support) {
  const SparseBuffers buffers(call, with_support);
  SupportParts parts{
      {at::empty({0}, call.integers())}, {at::empty({0}, call.integers())}, {at::empty({0}, call.numbers())}};
  if (!call.empty()) {
    const auto* const numbers = buffers.numbers.const_data_ptr<int32_t>();
    cuda::check_launch(kLshOp, cuda::launch_lsh_chunk_numbers(
                                   call.problem, buffers.numbers.mutable_data_ptr<int32_t>(), call.stream));
    const int64_t of_head = call.problem.length * cuda::lsh_row_length(call.problem);
    const int64_t bytes = of_head * static_cast<int64_t>(output.element_size());
    const int64_t at_once = std::clamp<int64_t>(kScoreBytes / bytes, 1, call.heads());
    const at::Tensor scores = at::empty({at_once * of_head}, call.numbers());
    for (int64_t first = 0; first < call.heads(); first += at_once) {
      const cuda::LshHeads heads{first, std::min(at_once, call.heads() - first)};
      cuda::check_launch(kLshOp, cuda::launch_lsh_scores(call.dtype, call.problem, heads, call.inputs,
                                                         numbers, pointer_of(scores), call.stream));
      cuda::check_launch(kLshOp,
                         cuda::launch_lsh_sparse_rows(call.normalizer, call.dtype, call.problem, heads,
                                                      call.inputs.value, numbers, scores.const_data_ptr(),
                                                      pointer_of(output), buffers.thresholds(), call.stream));
      if (with_support) append_support(call, heads, buffers, scores, parts);
    }
  }
  if (!with_support) return {output, {}};
  const at::Tensor offsets = at::zeros({call.rows() + 1}, call.integers());
  offsets.narrow(0, 1, call.rows()).copy_(buffers.counts.cumsum(0));
  return {output, {call.order, offsets, at::cat(parts.keys), at::cat(parts.queries), at::cat(parts.weights)}};
}

// `with_kept`: also what backward needs.
LshForTraining forward_on_device(const LshCall& call, bool with_kept) {
  check_lsh_call(call);
  const c10::DeviceGuard guard(call.query.device());
  const at::Tensor order =
      std::get<1>(call.buckets.contiguous().sort(/*stable=*/true, -1, /*descending=*/false));
  const CudaLshCall of(call, order);
  const at::Tensor output = at::zeros(call.value.sizes(), of.numbers());
  auto [rows, kept] = call.normalizer == Normalizer::softmax ? softmax_forward(of, output)
                                                             : sparse_forward(of, output, with_kept);
  return {as_inputs(call.query, rows), kept};
}

at::Tensor lsh_attention_cuda(const LshCall& call) { return std::get<0>(forward_on_device(call, false)); }

LshForTraining lsh_forward_cuda(const LshCall& call) { return forward_on_device(call, true); }

// Entries of every key, by their queries.
void sparse_backward(const CudaLshCall& call, const at::Tensor& grad, at::TensorList kept,
                     const cuda::LshGradients& gradients) {
  const at::Tensor score_grads = at::empty_like(kept[4]);
  const cuda::LshSupport support{kept[1].const_data_ptr<int64_t>(), kept[2].mutable_data_ptr<int64_t>(),
                                 kept[3].mutable_data_ptr<int64_t>(), kept[4].mutable_data_ptr()};
  const cuda::HeadsLayout layout = heads_layout_of(grad);
  if (gradients.query != nullptr || gradients.key != nullptr) {
    cuda::check_launch(
        kLshOp, cuda::launch_lsh_sparse_backward_queries(
                    call.normalizer, call.dtype, call.problem, call.inputs, grad.const_data_ptr(), layout,
                    support, pointer_of(score_grads), gradients.query, call.stream));
  }
  if (gradients.key == nullptr && gradients.value == nullptr) return;
  const auto [keys, by_key] = kept[2].sort(/*stable=*/true, 0, /*descending=*/false);
  const at::Tensor key_offsets = at::searchsorted(keys, at::arange(call.rows() + 1, call.integers()));
  cuda::check_launch(kLshOp,
                     cuda::launch_lsh_sparse_backward_keys(
                         call.dtype, call.problem, call.inputs.query, grad.const_data_ptr(), layout, support,
                         score_grads.const_data_ptr(), key_offsets.const_data_ptr<int64_t>(),
                         by_key.const_data_ptr<int64_t>(), gradients.key, gradients.value, call.stream));
}

LshGradients lsh_backward_cuda(const at::Tensor& grad, const LshCall& call, at::TensorList saved,
                               LshNeeded needed) {
  check_lsh_call(call);
  check_lsh_gradient(grad, call);
  const c10::DeviceGuard guard(call.query.device());
  const std::vector<at::Tensor> kept = saved.empty() ? std::get<1>(lsh_forward_cuda(call)) : saved.vec();
  const CudaLshCall of(call, kept[0]);
  const auto zeros = [&](bool wanted, const at::Tensor& input) {
    return wanted ? at::zeros(input.sizes(), of.numbers()) : at::Tensor();
  };
  const at::Tensor query = zeros(needed[0], call.query);
  const at::Tensor key = zeros(needed[1], call.key);
  const at::Tensor value = zeros(needed[2], call.value);
  const at::Tensor grads = with_plain_rows(grad);
  const cuda::LshGradients gradients{pointer_of(query), pointer_of(key), pointer_of(value)};
  if (!of.empty() && call.normalizer == Normalizer::softmax) {
    const at::Tensor means = at::empty({of.rows()}, of.numbers());
    cuda::check_launch(kLshOp, cuda::launch_lsh_softmax_backward(
                                   of.dtype, of.problem, of.inputs, grads.const_data_ptr(),
                                   heads_layout_of(grads), kept[2].const_data_ptr(), kept[1].const_data_ptr(),
                                   pointer_of(means), gradients, of.stream));
  } else if (!of.empty()) {
    sparse_backward(of, grads, kept, gradients);
  }
  const auto result = [](const at::Tensor& input, const at::Tensor& gradient) {
    return gradient.defined() ? as_inputs(input, gradient) : at::Tensor();
  };
  return {result(call.query, query), result(call.key, key), result(call.value, value)};
}

at::Tensor lsh_buckets_cuda(const at::Tensor& vectors, const at::Tensor& rotations,
                            at::IntArrayRef bucket_counts, const std::optional<at::Tensor>& valid) {
  constexpr const char* kOp = "lsh_buckets";
  check_lsh_hashing(vectors, rotations, bucket_counts, valid);
  TORCH_CHECK(bucket_counts.size() <= cuda::kMostBucketFactors, kOp, ": expected at most ",
              cuda::kMostBucketFactors, " bucket counts, got ", bucket_counts.size());
  const c10::DeviceGuard guard(vectors.device());
  const at::Tensor rows = with_plain_rows(vectors);
  const at::Tensor turns = rotations.to(computing_type(vectors)).contiguous();
  const at::Tensor mask = valid ? valid->contiguous() : at::Tensor();
  const at::Tensor buckets =
      at::empty({rows.size(0), rows.size(1), turns.size(2), rows.size(2)}, rows.options().dtype(at::kLong));
  if (buckets.numel() == 0) return buckets;
  cuda::LshHashingProblem problem{rows.size(0),
                                  rows.size(1),
                                  rows.size(2),
                                  rows.size(3),
                                  heads_layout_of(rows),
                                  turns.size(2),
                                  turns.size(0) == 1,
                                  static_cast<int>(bucket_counts.size()),
                                  {},
                                  valid ? mask.const_data_ptr<bool>() : nullptr};
  std::copy(bucket_counts.begin(), bucket_counts.end(), problem.bucket_counts);
  cuda::check_launch(kOp, cuda::launch_lsh_buckets(
                              cuda::dtype_of(rows), problem, rows.const_data_ptr(), turns.const_data_ptr(),
                              buckets.mutable_data_ptr<int64_t>(), cuda::current_stream(rows)));
  return buckets;
}

}  // namespace

TORCH_LIBRARY_IMPL(giantrabbit, CUDA, library) {
  library.impl("lsh_buckets", TORCH_FN(lsh_buckets_cuda));
  library.impl("lsh_attention", TORCH_FN(LshForwardArguments::kernel<lsh_attention_cuda>));
  library.impl("_lsh_attention_forward", TORCH_FN(LshForwardArguments::kernel<lsh_forward_cuda>));
  library.impl("_lsh_attention_backward", TORCH_FN(LshBackwardArguments::kernel<lsh_backward_cuda>));
}

}  // namespace giantrabbit::ops
