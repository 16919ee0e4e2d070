// Launches of the row kernels of sparsemax and entmax-1.5.
#include "ops/cuda/sparsemax_kernel.cuh"

namespace giantrabbit::ops::cuda {
namespace {

template <class Rule, class Stored>
int launch_rows(const Rows& rows, const Stored* scores, Stored* weights, void* stream) {
  using M = Math<Stored>;
  const int n = static_cast<int>(rows.length);
  if (n > kLongestShortRow<M>) {
    return launch(rows.count, kBlockThreads, sizeof(LongRowMemory<M>), stream,
                  normalize_long_rows<Rule, Stored>, n, scores, weights);
  }
  return with_entries_per_lane<M>(n, [&](auto per_lane) {
    return launch(ceil_div(rows.count, kShortRowWarps), kShortRowThreads, kShortRowThreads * sizeof(M),
                  stream, normalize_short_rows<Rule, Stored, decltype(per_lane)::value>, rows.count, n,
                  scores, weights);
  });
}

}  // namespace

int launch_normalize_rows(Normalizer normalizer, Dtype dtype, const Rows& rows, const void* scores,
                          void* weights, void* stream) {
  if (!has_valid_size(rows)) return cudaErrorInvalidValue;
  if (rows.count == 0 || rows.length == 0) return cudaSuccess;
  return with_type(dtype, [&](auto stored) -> int {
    using Stored = decltype(stored);
    const auto* const from = static_cast<const Stored*>(scores);
    auto* const to = static_cast<Stored*>(weights);
    if (normalizer == Normalizer::sparsemax) return launch_rows<SparsemaxRule>(rows, from, to, stream);
    if (normalizer == Normalizer::entmax15) return launch_rows<Entmax15Rule>(rows, from, to, stream);
    return cudaErrorInvalidValue;
  });
}

}  // namespace giantrabbit::ops::cuda
