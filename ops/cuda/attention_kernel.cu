// Launch of attention forward.
#include <type_traits>

#include "ops/cuda/attention_kernel.cuh"

namespace giantrabbit::ops::cuda {
namespace {

bool is_valid(const AttentionProblem& problem) {
  return problem.batch >= 0 && problem.heads >= 0 && problem.key_heads > 0 &&
         problem.heads % problem.key_heads == 0 && problem.queries >= 0 && 0 <= problem.keys &&
         problem.keys <= kLongestRow && problem.width >= 0 && problem.value_width >= 0 && problem.window >= 0;
}

template <class Rule, class Stored>
int launch_forward(const AttentionProblem& problem, const void* query, const void* key, const void* value,
                   void* result, void* stream) {
  const int64_t blocks = problem.batch * problem.heads * ceil_div(problem.queries, kBlockWarps);
  return launch(blocks, kBlockThreads, sizeof(AttentionMemory<Math<Stored>>), stream,
                attention_forward<Rule, Stored>, problem, static_cast<const Stored*>(query),
                static_cast<const Stored*>(key), static_cast<const Stored*>(value),
                static_cast<Stored*>(result));
}

}  // namespace

int launch_attention(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem, const void* query,
                     const void* key, const void* value, void* result, void* stream) {
  if (!is_valid(problem)) return cudaErrorInvalidValue;
  if (problem.value_width == 0) return cudaSuccess;
  return with_type(dtype, [&](auto stored) -> int {
    using Stored = decltype(stored);
    switch (normalizer) {
      case Normalizer::softmax:
        return launch_forward<void, Stored>(problem, query, key, value, result, stream);
      case Normalizer::sparsemax:
        return launch_forward<SparsemaxRule, Stored>(problem, query, key, value, result, stream);
      case Normalizer::entmax15:
        return launch_forward<Entmax15Rule, Stored>(problem, query, key, value, result, stream);
    }
    return cudaErrorInvalidValue;
  });
}

}  // namespace giantrabbit::ops::cuda
