// The weights of one block of queries of sparse_mask_attention, which forward, support and backward share.
// In, an AttentionProblem and the packed keys of a head; out, a scratch matrix of weights. Invariant: outside
// a query's visible keys, and in the padding that is read, weights are 0.
#pragma once

#include <functional>
#include <limits>
#include <vector>

#include "ops/cpu/attention_matrix.h"
#include "ops/cpu/row_normalizer.h"

namespace giantrabbit::ops::cpu {

// One block of queries of one head.
struct QueryBlock {
  int64_t batch;
  int64_t head;
  Range queries;
  int64_t count() const { return queries.end - queries.begin; }
};

template <class T>
QueryBlock query_block(const AttentionProblem<T>& problem, int64_t batch, int64_t head, int64_t block) {
  const int64_t begin = block * problem.block_queries();
  return {batch, head, {begin, std::min(begin + problem.block_queries(), problem.queries)}};
}

// The block in parts of at most `limit` queries.
template <class Function>
void for_each_part(const QueryBlock& block, int64_t limit, const Function& function) {
  for (int64_t begin = block.queries.begin; begin < block.queries.end; begin += limit) {
    function(QueryBlock{block.batch, block.head, {begin, std::min(begin + limit, block.queries.end)}});
  }
}

// Sees the scores of query `i` of a block, which mean something inside `range` only.
template <class A>
using SeeScores = std::function<void(int64_t i, const A* scores, Range range)>;

// Scores and then weights of a block of queries, in place.
template <class T>
class WeightBlock {
 public:
  using A = Accumulate<T>;

  explicit WeightBlock(const AttentionProblem<T>& problem)
      : weights(problem.block_queries(), problem.keys),
        visible(static_cast<size_t>(problem.block_queries())),
        problem_(problem),
        packed_(problem.block_queries(), problem.width) {}

  // Computes the scores against `keys` (packed, transposed, times the scale) and normalizes them.
  // `see`, if set, is called for every row before it becomes weights.
  void compute(const QueryBlock& block, const ScratchMatrix<A>& keys, const SeeScores<A>& see) {
    const StridedMatrix<A> queries = left_factor(
        rows_view(problem_.query, block.batch, block.head, block.queries, problem_.width), packed_);
    find_columns(block);
    const int64_t width = columns.end - columns.begin;
    if (width == 0) return;
    matrix_product({block.count(), width, problem_.width}, queries,
                   {keys.right().data + columns.begin, keys.stride()},
                   {weights.row(0) + columns.begin, weights.stride()}, false);
    for (int64_t i = 0; i < block.count(); ++i) normalize(block, i, see);
  }

  // Zeros in row `i` of a matrix shaped like the weights, everywhere but at the keys that the query may see.
  void clear_hidden(A* row, int64_t i) const {
    const Range& kept = visible[static_cast<size_t>(i)];
    std::fill(row + columns.begin, row + std::max(kept.begin, columns.begin), A(0));
    std::fill(row + std::max(kept.end, columns.begin), row + columns.end, A(0));
  }

  ScratchMatrix<A> weights;
  std::vector<Range> visible;  // of each query
  Range columns;               // holds all of them; whole paddings
  Range keys() const {
    return {columns.begin, std::max(columns.begin, std::min(columns.end, problem_.keys))};
  }

 private:
  void find_columns(const QueryBlock& block) {
    columns = {problem_.keys, 0};
    for (int64_t i = 0; i < block.count(); ++i) {
      const Range range = problem_.rules.range(block.batch, block.queries.begin + i);
      visible[static_cast<size_t>(i)] = range;
      if (range.empty()) continue;
      columns.begin = std::min(columns.begin, range.begin);
      columns.end = std::max(columns.end, range.end);
    }
    if (columns.empty()) columns = {0, 0};
    columns = {columns.begin / kColumnPadding * kColumnPadding, padded_columns(columns.end)};
  }

  void normalize(const QueryBlock& block, int64_t i, const SeeScores<A>& see) {
    A* row = weights.row(i);
    Range& range = visible[static_cast<size_t>(i)];
    const int64_t query = block.queries.begin + i;
    if (problem_.bias.data != nullptr) {
      const A* bias = problem_.bias.at(block.batch, block.head, query);
      for (int64_t j = range.begin; j < range.end; ++j) row[j] += bias[j * problem_.bias.column];
    }
    if (problem_.rules.has_lists()) {
      range = problem_.rules.hide_unlisted(block.batch, block.head, query, range, row,
                                           -std::numeric_limits<A>::infinity());
    }
    clear_hidden(row, i);
    if (range.empty()) return;
    if (see) see(i, row, range);
    normalize_row(problem_.normalizer, row + range.begin, range.end - range.begin);
  }

  const AttentionProblem<T>& problem_;
  ScratchMatrix<A> packed_;
};

}  // namespace giantrabbit::ops::cpu
