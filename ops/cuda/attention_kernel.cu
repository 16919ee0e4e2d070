// Launch of attention forward.
#include "ops/cuda/attention_by_codes.h"
#include "ops/cuda/attention_kernel.cuh"
#include "ops/cuda/attention_launch.cuh"

namespace giantrabbit::ops::cuda {
namespace {

bool is_valid_to_keep(Normalizer normalizer, const KeptRows& kept) {
  if (kept.states == nullptr) return true;
  const bool entries = kept.keys != nullptr;
  return kept.counts != nullptr && kept.wide_blocks != nullptr && entries == (kept.weights != nullptr) &&
         entries == (normalizer != Normalizer::softmax) && kept.capacity >= (entries ? 1 : 0) &&
         kept.capacity <= (entries ? kMostKeptKeys : 0);
}

}  // namespace

int launch_attention(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem, const void* query,
                     const void* key, const void* value, void* result, void* workspace, void* stream,
                     const KeptRows& kept) {
  if (!is_valid(problem) || !is_valid_to_keep(normalizer, kept)) return cudaErrorInvalidValue;
  if (problem.value_width == 0 && kept.states == nullptr) return cudaSuccess;
  const unsigned char* left_over = nullptr;
  if (attention_workspace_bytes(normalizer, dtype, problem) > 0) {
    if (workspace == nullptr) return cudaErrorInvalidValue;
    const int error = launch_attention_by_codes(normalizer, dtype, problem, query, key, value, result, kept,
                                                workspace, stream, &left_over);
    if (error != cudaSuccess) return error;
  }
  return with_rule_and_type(normalizer, dtype, [&](auto rule, auto stored) -> int {
    using Rule = typename decltype(rule)::Rule;
    using Stored = decltype(stored);
    return launch(query_blocks(problem), kBlockThreads, sizeof(AttentionMemory<Math<Stored>>), stream,
                  attention_forward<Rule, Stored>, problem, static_cast<const Stored*>(query),
                  static_cast<const Stored*>(key), static_cast<const Stored*>(value),
                  static_cast<Stored*>(result), kept, left_over);
  });
}

}  // namespace giantrabbit::ops::cuda
