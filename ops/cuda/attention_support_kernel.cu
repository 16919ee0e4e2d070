// Launch of the kernel that writes the support of attention.
#include "ops/cuda/attention_launch.cuh"
#include "ops/cuda/attention_support_kernel.cuh"

namespace giantrabbit::ops::cuda {

int launch_attention_support(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem,
                             const void* query, const void* key, const KeptRows& kept,
                             const int64_t* row_offsets, int32_t* keys, void* weights, void* stream) {
  if (!is_valid(problem)) return cudaErrorInvalidValue;
  return with_rule_and_type(normalizer, dtype, [&](auto rule, auto stored) -> int {
    using Rule = typename decltype(rule)::Rule;
    using Stored = decltype(stored);
    using M = Math<Stored>;
    return launch(query_blocks(problem), kBlockThreads, sizeof(SupportMemory<M>), stream,
                  attention_support<Rule, Stored>, problem, static_cast<const Stored*>(query),
                  static_cast<const Stored*>(key), kept, row_offsets, keys, static_cast<M*>(weights));
  });
}

}  // namespace giantrabbit::ops::cuda
