// Launches of the Fenchel-Young losses and their gradient.
#include "ops/cuda/sparsemax_loss_kernel.cuh"

namespace giantrabbit::ops::cuda {
namespace {

template <class Rule, class M>
int launch_losses(const Rows& rows, const M* logits, const int64_t* targets, M* losses, void* stream) {
  const int n = static_cast<int>(rows.length);
  if (n > kLongestShortRow<M>) {
    return launch(rows.count, kBlockThreads, sizeof(LongRowMemory<M>), stream, long_row_losses<Rule, M>, n,
                  logits, targets, losses);
  }
  return with_entries_per_lane<M>(n, [&](auto per_lane) {
    return launch(ceil_div(rows.count, kShortRowWarps), kShortRowThreads, kShortRowThreads * sizeof(M),
                  stream, short_row_losses<Rule, M, decltype(per_lane)::value>, rows.count, n, logits,
                  targets, losses);
  });
}

template <class M>
int launch_losses_backward(const Rows& rows, const M* grad, const M* weights, const int64_t* targets,
                           M* grad_logits, void* stream) {
  const int n = static_cast<int>(rows.length);
  if (n > kLongestShortRow<M>) {
    return launch(rows.count, kBlockThreads, BlockGroup::kPartBytes, stream, long_row_losses_backward<M>, n,
                  grad, weights, targets, grad_logits);
  }
  return launch(ceil_div(rows.count, kShortRowWarps), kShortRowThreads, 0, stream,
                short_row_losses_backward<M>, rows.count, n, grad, weights, targets, grad_logits);
}

}  // namespace

int launch_row_losses(Normalizer normalizer, Dtype dtype, const Rows& rows, const void* logits,
                      const int64_t* targets, void* losses, void* stream) {
  if (!has_valid_size(rows)) return cudaErrorInvalidValue;
  return with_floating_type(dtype, [&](auto stored) -> int {
    using M = decltype(stored);
    const auto* const from = static_cast<const M*>(logits);
    auto* const to = static_cast<M*>(losses);
    if (normalizer == Normalizer::sparsemax)
      return launch_losses<SparsemaxRule>(rows, from, targets, to, stream);
    if (normalizer == Normalizer::entmax15)
      return launch_losses<Entmax15Rule>(rows, from, targets, to, stream);
    return cudaErrorInvalidValue;
  });
}

int launch_row_losses_backward(Dtype dtype, const Rows& rows, const void* grad, const void* weights,
                               const int64_t* targets, void* grad_logits, void* stream) {
  if (!has_valid_size(rows)) return cudaErrorInvalidValue;
  if (rows.length == 0) return cudaSuccess;
  return with_floating_type(dtype, [&](auto stored) -> int {
    using M = decltype(stored);
    return launch_losses_backward(rows, static_cast<const M*>(grad), static_cast<const M*>(weights), targets,
                                  static_cast<M*>(grad_logits), stream);
  });
}

}  // namespace giantrabbit::ops::cuda
