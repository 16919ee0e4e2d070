// Launches of lsh_attention with sparsemax or entmax-1.5 weights and of its gradient.
#include "ops/cuda/lsh_sparse_backward_kernel.cuh"
#include "ops/cuda/lsh_sparse_kernel.cuh"

namespace giantrabbit::ops::cuda {
namespace {

bool is_valid(const LshProblem& problem, const LshHeads& heads) {
  return is_valid(problem) && heads.first >= 0 && heads.count >= 0 &&
         heads.first + heads.count <= problem.batch * problem.heads && lsh_row_length(problem) <= kLongestRow;
}

// Calls function(rule).
template <class Function>
int with_rule(Normalizer normalizer, const Function& function) {
  switch (normalizer) {
    case Normalizer::sparsemax:
      return function(SparsemaxRule{});
    case Normalizer::entmax15:
      return function(Entmax15Rule{});
    default:
      return cudaErrorInvalidValue;
  }
}

int64_t row_blocks(const LshProblem& problem, int64_t heads) {
  return ceil_div(heads * problem.length, kBlockWarps);
}

}  // namespace

int64_t lsh_row_length(const LshProblem& problem) {
  const LshCircle circle = circle_of(problem);
  return problem.rounds * circle.window * circle.chunk_length;
}

int launch_lsh_chunk_numbers(const LshProblem& problem, int32_t* numbers, void* stream) {
  if (!is_valid(problem)) return cudaErrorInvalidValue;
  const int64_t count = problem.batch * problem.heads * problem.rounds * problem.length;
  return launch(ceil_div(count, kBlockThreads), kBlockThreads, 0, stream, lsh_chunk_numbers<int32_t>, problem,
                circle_of(problem), numbers);
}

int launch_lsh_scores(Dtype dtype, const LshProblem& problem, const LshHeads& heads, const LshInputs& inputs,
                      const int32_t* numbers, void* scores, void* stream) {
  if (!is_valid(problem, heads)) return cudaErrorInvalidValue;
  const LshCircle circle = circle_of(problem);
  return with_type(dtype, [&](auto stored) -> int {
    using Stored = decltype(stored);
    using M = Math<Stored>;
    return launch(lsh_blocks(circle, circle.total, heads.count), kBlockThreads, sizeof(LshTileMemory<M>),
                  stream, lsh_scores<Stored>, problem, circle, heads,
                  static_cast<const Stored*>(inputs.query), static_cast<const Stored*>(inputs.key), numbers,
                  static_cast<M*>(scores));
  });
}

int launch_lsh_sparse_rows(Normalizer normalizer, Dtype dtype, const LshProblem& problem,
                           const LshHeads& heads, const void* value, const int32_t* numbers,
                           const void* scores, void* output, const LshThresholds& thresholds, void* stream) {
  if (!is_valid(problem, heads)) return cudaErrorInvalidValue;
  return with_rule(normalizer, [&](auto rule) -> int {
    return with_type(dtype, [&](auto stored) -> int {
      using Stored = decltype(stored);
      using M = Math<Stored>;
      return launch(row_blocks(problem, heads.count), kBlockThreads, kBlockWarps * sizeof(CandidateList<M>),
                    stream, lsh_sparse_rows<decltype(rule), Stored>, problem, circle_of(problem), heads,
                    static_cast<int>(lsh_row_length(problem)), static_cast<const Stored*>(value), numbers,
                    static_cast<const M*>(scores), static_cast<M*>(output),
                    static_cast<M*>(thresholds.maxima), thresholds.taus, thresholds.counts);
    });
  });
}

int launch_lsh_support(Normalizer normalizer, Dtype dtype, const LshProblem& problem, const LshHeads& heads,
                       const int32_t* numbers, const void* scores, const LshThresholds& thresholds,
                       const LshSupport& support, void* stream) {
  if (!is_valid(problem, heads)) return cudaErrorInvalidValue;
  return with_rule(normalizer, [&](auto rule) -> int {
    const auto with_numbers = [&](auto number) -> int {
      using M = decltype(number);
      return launch(row_blocks(problem, heads.count), kBlockThreads, 0, stream,
                    lsh_support<decltype(rule), M>, problem, circle_of(problem), heads,
                    static_cast<int>(lsh_row_length(problem)), numbers, static_cast<const M*>(scores),
                    static_cast<const M*>(thresholds.maxima), static_cast<const double*>(thresholds.taus),
                    support.offsets, support.keys, support.queries, static_cast<M*>(support.weights));
    };
    return dtype == Dtype::float64 ? with_numbers(double{}) : with_numbers(float{});
  });
}

int launch_lsh_sparse_backward_queries(Normalizer normalizer, Dtype dtype, const LshProblem& problem,
                                       const LshInputs& inputs, const void* grad,
                                       const HeadsLayout& grad_layout, const LshSupport& support,
                                       void* score_grads, void* grad_query, void* stream) {
  if (!is_valid(problem)) return cudaErrorInvalidValue;
  return with_rule(normalizer, [&](auto rule) -> int {
    return with_type(dtype, [&](auto stored) -> int {
      using Stored = decltype(stored);
      using M = Math<Stored>;
      return launch(row_blocks(problem, problem.batch * problem.heads), kBlockThreads, 0, stream,
                    lsh_sparse_backward_queries<decltype(rule), Stored>, problem,
                    static_cast<const Stored*>(inputs.key), static_cast<const Stored*>(inputs.value),
                    static_cast<const Stored*>(grad), grad_layout, support.offsets,
                    static_cast<const int64_t*>(support.keys), static_cast<const M*>(support.weights),
                    static_cast<M*>(score_grads), static_cast<M*>(grad_query));
    });
  });
}

int launch_lsh_sparse_backward_keys(Dtype dtype, const LshProblem& problem, const void* query,
                                    const void* grad, const HeadsLayout& grad_layout,
                                    const LshSupport& support, const void* score_grads,
                                    const int64_t* key_offsets, const int64_t* by_key, void* grad_key,
                                    void* grad_value, void* stream) {
  if (!is_valid(problem)) return cudaErrorInvalidValue;
  return with_type(dtype, [&](auto stored) -> int {
    using Stored = decltype(stored);
    using M = Math<Stored>;
    return launch(row_blocks(problem, problem.batch * problem.heads), kBlockThreads, 0, stream,
                  lsh_sparse_backward_keys<Stored>, problem, static_cast<const Stored*>(query),
                  static_cast<const Stored*>(grad), grad_layout, static_cast<const int64_t*>(support.queries),
                  static_cast<const M*>(support.weights), static_cast<const M*>(score_grads), key_offsets,
                  by_key, static_cast<M*>(grad_key), static_cast<M*>(grad_value));
  });
}

}  // namespace giantrabbit::ops::cuda
