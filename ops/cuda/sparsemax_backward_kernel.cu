// Launches of the gradients of sparsemax and entmax-1.5.
#include "ops/cuda/sparsemax_kernel.cuh"

namespace giantrabbit::ops::cuda {
namespace {

template <class Rule, class Stored>
int launch_rows_backward(const Rows& rows, const Stored* grad, const Stored* weights, Stored* grad_scores,
                         void* stream) {
  const int n = static_cast<int>(rows.length);
  if (n > kLongestShortRow<Math<Stored>>) {
    return launch(rows.count, kBlockThreads, BlockGroup::kPartBytes, stream,
                  normalize_long_rows_backward<Rule, Stored>, n, grad, weights, grad_scores);
  }
  return launch(ceil_div(rows.count, kShortRowWarps), kShortRowThreads, 0, stream,
                normalize_short_rows_backward<Rule, Stored>, rows.count, n, grad, weights, grad_scores);
}

}  // namespace

int launch_normalize_rows_backward(Normalizer normalizer, Dtype dtype, const Rows& rows, const void* grad,
                                   const void* weights, void* grad_scores, void* stream) {
  if (!has_valid_size(rows)) return cudaErrorInvalidValue;
  if (rows.count == 0 || rows.length == 0) return cudaSuccess;
  return with_type(dtype, [&](auto stored) -> int {
    using Stored = decltype(stored);
    const auto* const of_weights = static_cast<const Stored*>(grad);
    const auto* const row_weights = static_cast<const Stored*>(weights);
    auto* const to = static_cast<Stored*>(grad_scores);
    if (normalizer == Normalizer::sparsemax)
      return launch_rows_backward<SparsemaxRule>(rows, of_weights, row_weights, to, stream);
    if (normalizer == Normalizer::entmax15)
      return launch_rows_backward<Entmax15Rule>(rows, of_weights, row_weights, to, stream);
    return cudaErrorInvalidValue;
  });
}

}  // namespace giantrabbit::ops::cuda
