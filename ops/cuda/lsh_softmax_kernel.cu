// Launches of lsh_attention with softmax weights, a launch per round.
#include "ops/cuda/lsh_softmax_kernel.cuh"

namespace giantrabbit::ops::cuda {
namespace {

template <class Stored>
LshTensors<Stored> tensors_of(const LshInputs& inputs) {
  return {static_cast<const Stored*>(inputs.query), static_cast<const Stored*>(inputs.key),
          static_cast<const Stored*>(inputs.value)};
}

// Calls launch_one(round) until one fails.
template <class Function>
int launch_rounds(const LshProblem& problem, const Function& launch_one) {
  for (int round = 0; round < problem.rounds; ++round) {
    const int error = launch_one(round);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace

int launch_lsh_softmax(Dtype dtype, const LshProblem& problem, const LshInputs& inputs, void* output,
                       void* log_sums, void* stream) {
  if (!is_valid(problem)) return cudaErrorInvalidValue;
  const LshCircle circle = circle_of(problem);
  const int64_t blocks = lsh_blocks(circle, circle.per_round, problem.batch * problem.heads);
  return with_type(dtype, [&](auto stored) -> int {
    using Stored = decltype(stored);
    using M = Math<Stored>;
    return launch_rounds(problem, [&](int round) {
      return launch(blocks, kBlockThreads, sizeof(LshTileMemory<M>), stream, lsh_softmax_forward<Stored>,
                    problem, circle, round, tensors_of<Stored>(inputs), static_cast<M*>(output),
                    static_cast<M*>(log_sums));
    });
  });
}

int launch_lsh_softmax_backward(Dtype dtype, const LshProblem& problem, const LshInputs& inputs,
                                const void* grad, const HeadsLayout& grad_layout, const void* output,
                                const void* log_sums, void* means, const LshGradients& gradients,
                                void* stream) {
  if (!is_valid(problem)) return cudaErrorInvalidValue;
  const LshCircle circle = circle_of(problem);
  const int64_t rows = problem.batch * problem.heads * problem.length;
  const int64_t blocks = lsh_blocks(circle, circle.per_round, problem.batch * problem.heads);
  return with_type(dtype, [&](auto stored) -> int {
    using Stored = decltype(stored);
    using M = Math<Stored>;
    const auto tensors = tensors_of<Stored>(inputs);
    const auto* const grads = static_cast<const Stored*>(grad);
    const auto* const sums = static_cast<const M*>(log_sums);
    const auto launch_round = [&](auto kernel, int round, auto... targets) {
      return launch(blocks, kBlockThreads, sizeof(LshTileMemory<M>), stream, kernel, problem, circle, round,
                    tensors, grads, grad_layout, sums, static_cast<const M*>(means),
                    static_cast<M*>(targets)...);
    };
    const int error =
        launch(ceil_div(rows, kBlockWarps), kBlockThreads, 0, stream, lsh_softmax_means<Stored>, problem,
               grads, grad_layout, static_cast<const M*>(output), static_cast<M*>(means));
    if (error != cudaSuccess) return error;
    return launch_rounds(problem, [&](int round) -> int {
      if (gradients.query != nullptr) {
        const int of_queries = launch_round(lsh_softmax_backward_queries<Stored>, round, gradients.query);
        if (of_queries != cudaSuccess) return of_queries;
      }
      if (gradients.key == nullptr && gradients.value == nullptr) return cudaSuccess;
      return launch_round(lsh_softmax_backward_keys<Stored>, round, gradients.key, gradients.value);
    });
  });
}

}  // namespace giantrabbit::ops::cuda
