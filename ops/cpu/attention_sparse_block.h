// The weights of a block of queries that are not 0, if they are few. In, a WeightBlock; out, its rows as keys
// and weights, each padded with zeros to whole vectors for the row functions.
#pragma once

#include "ops/cpu/attention_block.h"

namespace giantrabbit::ops::cpu {

template <class T>
class SparseBlock {
 public:
  using A = Accumulate<T>;

  explicit SparseBlock(const AttentionProblem<T>& problem)
      : capacity_(problem.block_queries() * (padded_columns(problem.keys) / kShare + 2 * kColumnPadding)),
        row_cost_(kRowCost / std::max<int64_t>(problem.value_width, 1)),
        indices_(new int32_t[static_cast<size_t>(capacity_)]),
        values_(new A[static_cast<size_t>(capacity_)]) {}

  // False if so many weights are not 0 that products of whole matrices cost less.
  bool compress(const WeightBlock<T>& block) {
    int64_t scores = 0;
    for (const Range& range : block.visible) scores += range.end - range.begin;
    int64_t left = (scores - static_cast<int64_t>(block.visible.size()) * row_cost_) / kShare;
    if (left <= 0) return false;
    begins_.clear();
    counts_.clear();
    int64_t begin = 0;
    for (size_t i = 0; i < block.visible.size(); ++i) {
      const int64_t count = compress_row(block, static_cast<int64_t>(i), begin, left);
      if (count < 0) return false;
      left -= count;
      begins_.push_back(begin);
      counts_.push_back(count);
      begin += padded_columns(count);
    }
    return true;
  }

  SparseRow<A> row(int64_t i) const {
    const int64_t begin = begins_[static_cast<size_t>(i)];
    return {counts_[static_cast<size_t>(i)], indices_.get() + begin, values_.get() + begin};
  }

 private:
  // Measured: a weight that is not 0 costs as much as this many scores of a dense block, and a row, by its
  // branches, as much as this many multiply-adds.
  static constexpr int64_t kShare = 3;
  static constexpr int64_t kRowCost = 1600;

  // A wide row ends the search early, so that looking for zeros in vain costs little.
  int64_t compress_row(const WeightBlock<T>& block, int64_t i, int64_t begin, int64_t left) {
    const Range range = block.visible[static_cast<size_t>(i)];
    const int64_t limit = std::min(left, std::max(kColumnPadding, (range.end - range.begin) / 3));
    int64_t found = 0;
    block.columns.for_each_run(range, [&](int64_t key, Range part) {
      if (found < 0) return;
      const int64_t more =
          cpu::compress(block.weights.row(i) + part.begin, part.end - part.begin, static_cast<int32_t>(key),
                        limit - found, indices_.get() + begin + found, values_.get() + begin + found);
      found = more < 0 ? -1 : found + more;
    });
    if (found > 0) std::fill_n(values_.get() + begin + found, padded_columns(found) - found, A(0));
    return found;
  }

  int64_t capacity_;
  int64_t row_cost_;  // in scores
  std::unique_ptr<int32_t[]> indices_;
  std::unique_ptr<A[]> values_;
  std::vector<int64_t> begins_;
  std::vector<int64_t> counts_;
};

}  // namespace giantrabbit::ops::cpu
