// Launches of the counting sort of the support by keys.
#include "ops/cuda/attention_launch.cuh"
#include "ops/cuda/attention_transpose.cuh"

namespace giantrabbit::ops::cuda {
namespace {

// Rows of a group of heads are numbered by an int.
bool has_valid_rows(const AttentionProblem& problem) {
  return is_valid(problem) &&
         problem.heads / problem.key_heads * problem.queries <= std::numeric_limits<int32_t>::max();
}

}  // namespace

int launch_count_support_columns(const AttentionProblem& problem, const AttentionSupportRows& support,
                                 int32_t* counts, void* stream) {
  if (!has_valid_rows(problem)) return cudaErrorInvalidValue;
  const int64_t rows = problem.batch * problem.heads * problem.queries;
  return launch(ceil_div(rows, kBlockWarps), kBlockThreads, 0, stream, count_support_columns, problem,
                support.row_offsets, support.keys, counts);
}

int launch_transpose_support(Dtype dtype, const AttentionProblem& problem,
                             const AttentionSupportRows& support, const void* entry_grads,
                             const TransposedSupport& transposed, void* stream) {
  if (!has_valid_rows(problem)) return cudaErrorInvalidValue;
  const int64_t warps = problem.batch * problem.key_heads * kTransposeParts;
  const auto run = [&](auto number) {
    using M = decltype(number);
    return launch(ceil_div(warps, kBlockWarps), kBlockThreads, 0, stream, transpose_support<M>, problem,
                  support.row_offsets, support.keys, static_cast<const M*>(support.weights),
                  static_cast<const M*>(entry_grads), transposed.cells, transposed.rows,
                  static_cast<M*>(transposed.weights), static_cast<M*>(transposed.score_grads));
  };
  return dtype == Dtype::float64 ? run(double{}) : run(float{});
}

}  // namespace giantrabbit::ops::cuda
