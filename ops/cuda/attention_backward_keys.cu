// Launch of the gradients of attention by keys.
#include "ops/cuda/attention_backward_keys.cuh"
#include "ops/cuda/attention_launch.cuh"

namespace giantrabbit::ops::cuda {

int launch_attention_backward_keys(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem,
                                   const AttentionOperands& operands, const AttentionSupportRows& support,
                                   const TransposedSupport& transposed, const double* means,
                                   const AttentionKeyGradients& gradients, void* stream) {
  const bool has_means = means != nullptr || gradients.key_grad == nullptr;
  if (!is_valid(problem) || !has_means) return cudaErrorInvalidValue;
  const int64_t blocks = problem.batch * problem.key_heads * ceil_div(problem.keys, kBlockWarps);
  return with_rule_and_type(normalizer, dtype, [&](auto rule, auto stored) -> int {
    using Rule = typename decltype(rule)::Rule;
    using Stored = decltype(stored);
    return launch(blocks, kBlockThreads, sizeof(BackwardKeysMemory<Math<Stored>>), stream,
                  attention_backward_keys<Rule, Stored>, problem, operands, support, transposed, means,
                  gradients);
  });
}

}  // namespace giantrabbit::ops::cuda
