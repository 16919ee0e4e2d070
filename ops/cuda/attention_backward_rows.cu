// Launch of the gradients of attention by rows.
#include "ops/cuda/attention_backward_rows.cuh"
#include "ops/cuda/attention_launch.cuh"

namespace giantrabbit::ops::cuda {

int launch_attention_backward_rows(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem,
                                   const AttentionOperands& operands, const AttentionSupportRows& support,
                                   const AttentionRowGradients& gradients, void* stream) {
  if (!is_valid(problem)) return cudaErrorInvalidValue;
  return with_rule_and_type(normalizer, dtype, [&](auto rule, auto stored) -> int {
    using Rule = typename decltype(rule)::Rule;
    using Stored = decltype(stored);
    return launch(query_blocks(problem), kBlockThreads, sizeof(BackwardRowsMemory<Math<Stored>>), stream,
                  attention_backward_rows<Rule, Stored>, problem, operands, support, gradients);
  });
}

}  // namespace giantrabbit::ops::cuda
