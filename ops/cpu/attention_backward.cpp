// Gradients of sparse_mask_attention on the CPU. In, the result's gradient and the checked call; out, the
// gradients asked for. One thread owns a key/value head and adds its query heads in order: same bits for any
// number of threads.
#include <ATen/Parallel.h>

#include "ops/cpu/attention_dense.h"
#include "ops/cpu/attention_kernels.h"

namespace giantrabbit::ops::cpu {

template <class T>
void attention_backward(const at::Tensor& grad, const AttentionCall& call, const at::Tensor& weights,
                        AttentionGradients& gradients) {
  using A = Accumulate<T>;
  const AttentionProblem<T> problem = make_problem<T>(call);
  const auto target = [](const at::Tensor& tensor) {
    return tensor.defined() && tensor.numel() > 0 ? heads_view<T>(tensor) : HeadsView<T>{};
  };
  Targets<T> targets{
      target(std::get<0>(gradients)), target(std::get<1>(gradients)), target(std::get<2>(gradients)), {}};
  const at::Tensor& scores = std::get<3>(gradients);
  if (scores.defined() && scores.numel() > 0) targets.scores = heads_view<A>(scores);
  const HeadsView<const A> kept = weights.defined() ? heads_view<const A>(weights) : HeadsView<const A>{};
  const HeadsView<const T> output_grad = heads_view<const T>(grad);
  at::parallel_for(0, problem.batch * problem.key_heads, 1, [&](int64_t begin, int64_t end) {
    DenseBackward<T> backward(problem, output_grad, targets);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t batch = unit / problem.key_heads;
      const int64_t key_head = unit % problem.key_heads;
      backward.begin_head(batch, key_head, false);
      for (int64_t i = 0; i < problem.group(); ++i) {
        const int64_t head = key_head * problem.group() + i;
        backward.add({batch, head, {0, problem.queries}},
                     {kept.data != nullptr ? kept.at(batch, head, 0) : nullptr, kept.row});
      }
      backward.end_head();
    }
  });
}

template void attention_backward<float>(const at::Tensor&, const AttentionCall&, const at::Tensor&,
                                        AttentionGradients&);
template void attention_backward<double>(const at::Tensor&, const AttentionCall&, const at::Tensor&,
                                         AttentionGradients&);
template void attention_backward<c10::BFloat16>(const at::Tensor&, const AttentionCall&, const at::Tensor&,
                                                AttentionGradients&);
template void attention_backward<c10::Half>(const at::Tensor&, const AttentionCall&, const at::Tensor&,
                                            AttentionGradients&);

}  // namespace giantrabbit::ops::cpu
