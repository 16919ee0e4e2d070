// Launch of lsh_buckets.
#include "ops/cuda/lsh_buckets_kernel.cuh"

namespace giantrabbit::ops::cuda {
namespace {

bool has_valid_counts(const LshHashingProblem& problem) {
  if (problem.factors < 1 || problem.factors > kMostBucketFactors) return false;
  int64_t buckets = 1;
  for (int factor = 0; factor < problem.factors; ++factor) {
    const int64_t count = problem.bucket_counts[factor];
    if (count < 2 || count % 2 != 0 || buckets > std::numeric_limits<int64_t>::max() / count) return false;
    buckets *= count;
  }
  return true;
}

}  // namespace

int launch_lsh_buckets(Dtype dtype, const LshHashingProblem& problem, const void* vectors,
                       const void* rotations, int64_t* buckets, void* stream) {
  if (problem.batch < 0 || problem.heads < 0 || problem.length < 0 || problem.width < 0 ||
      problem.rounds < 1 || !has_valid_counts(problem))
    return cudaErrorInvalidValue;
  const int64_t blocks = problem.batch * problem.heads * problem.rounds * ceil_div(problem.length, kWarp);
  return with_type(dtype, [&](auto stored) -> int {
    using Stored = decltype(stored);
    return launch(blocks, kBlockThreads, sizeof(HashMemory<Math<Stored>>), stream, lsh_buckets<Stored>,
                  problem, static_cast<const Stored*>(vectors), static_cast<const Math<Stored>*>(rotations),
                  buckets);
  });
}

}  // namespace giantrabbit::ops::cuda
