// What the launches of the attention kernels share: the check of a problem and the way from a normalizer and
// a dtype at run time to the kernel's types.
#pragma once

#include "ops/cuda/row_rules.cuh"

namespace giantrabbit::ops::cuda {

inline bool has_valid_lists(const MaskLists& lists, int64_t keys) {
  return lists.row_offsets == nullptr || (lists.block_rows >= 1 && lists.block_columns >= 1 &&
                                          (lists.block_columns == 1 || lists.block_columns <= keys));
}

inline bool is_valid(const AttentionProblem& problem) {
  return problem.batch >= 0 && problem.heads >= 0 && problem.key_heads > 0 &&
         problem.heads % problem.key_heads == 0 && problem.queries >= 0 && 0 <= problem.keys &&
         problem.keys <= kLongestRow && problem.width >= 0 && problem.value_width >= 0 &&
         problem.window >= 0 && problem.window <= problem.queries + problem.keys &&
         has_valid_lists(problem.lists, problem.keys);
}

inline int64_t query_blocks(const AttentionProblem& problem) {
  return problem.batch * problem.heads * ceil_div(problem.queries, kBlockWarps);
}

template <class Rule_>
struct RuleType {
  using Rule = Rule_;
};

// Calls function(RuleType of the normalizer, value of the storage type); of softmax the rule is void.
template <class Function>
int with_rule_and_type(Normalizer normalizer, Dtype dtype, const Function& function) {
  return with_type(dtype, [&](auto stored) -> int {
    switch (normalizer) {
      case Normalizer::softmax:
        return function(RuleType<void>{}, stored);
      case Normalizer::sparsemax:
        return function(RuleType<SparsemaxRule>{}, stored);
      case Normalizer::entmax15:
        return function(RuleType<Entmax15Rule>{}, stored);
    }
    return cudaErrorInvalidValue;
  });
}

}  // namespace giantrabbit::ops::cuda
