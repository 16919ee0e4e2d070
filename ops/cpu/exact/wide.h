// Blocks of queries whose supports the stages found wide, on the dense path. In, such a block; out, its
// output rows and what the backward pass needs of its weights: entries of the support where few are not 0,
// else the weights themselves while rows are short, else nothing (backward computes them again).
#pragma once

#include "ops/cpu/attention_dense.h"
#include "ops/cpu/exact/block.h"
#include "ops/cpu/exact/forward.h"

namespace giantrabbit::ops::cpu::exact {

// Numbers in a row of the kept weights of `blocks` blocks with `keys` keys; 0: rows are too long to be kept,
// or too many for one call.
int64_t kept_row(int64_t keys, int64_t blocks);

// One object per thread.
class WideForward {
 public:
  WideForward(const AttentionProblem<float>& problem, const HeadsView<float>& output, Keep keep);

  // Writes the block's rows of the output. True if `support` and `counts`, the sizes of its rows, got the
  // entries; if not, `rows`, kBlockQueries rows of padded_columns(keys) numbers or null, got the weights.
  bool run(const QueryBlock& block, int64_t* counts, BlockSupport* support, float* rows);

 private:
  bool append(const WeightBlock<float>& weights, const SparseBlock<float>* sparse, int64_t rows,
              int64_t* counts, BlockSupport& support);
  bool make_room(const SparseBlock<float>& sparse, int64_t rows, BlockSupport& support) const;
  int64_t append_row(const WeightBlock<float>& weights, int64_t i, BlockSupport& support) const;

  const AttentionProblem<float>& problem_;
  DenseForward<float> path_;
  Keep keep_;
  int64_t prepared_ = -1;  // key head
};

}  // namespace giantrabbit::ops::cpu::exact
