// The weights of one block of queries of sparse_mask_attention, which forward, support and backward share.
// In, an AttentionProblem and the packed keys of a head; out, a scratch matrix of weights. Invariant: outside
// a query's visible keys, and in the padding that is read, weights are 0.
#pragma once

#include <functional>
#include <limits>
#include <vector>

#include "ops/cpu/attention_columns.h"
#include "ops/cpu/attention_matrix.h"
#include "ops/cpu/row_normalizer.h"

namespace giantrabbit::ops::cpu {

template <class T>
QueryBlock query_block(const AttentionProblem<T>& problem, int64_t batch, int64_t head, int64_t block) {
  const int64_t begin = block * problem.block_queries();
  return {batch, head, {begin, std::min(begin + problem.block_queries(), problem.queries)}};
}

// The block in parts that end at multiples of `size`.
template <class Function>
void for_each_part(const QueryBlock& block, int64_t size, const Function& function) {
  for (int64_t begin = block.queries.begin, end = 0; begin < block.queries.end; begin = end) {
    end = std::min((begin / size + 1) * size, block.queries.end);
    function(QueryBlock{block.batch, block.head, {begin, end}});
  }
}

// Sees the scores of query `i` of a block by column; they mean something inside `range` only.
template <class A>
using SeeScores = std::function<void(int64_t i, const A* scores, Range range)>;

// Scores and then weights of a block of queries, in place.
template <class T>
class WeightBlock {
 public:
  using A = Accumulate<T>;

  explicit WeightBlock(const AttentionProblem<T>& problem)
      : weights(problem.block_queries(), problem.keys),
        columns(problem.rules),
        problem_(problem),
        packed_(problem.block_queries(), problem.width) {}

  // Computes the scores against `keys` (packed, transposed, times the scale) and normalizes them.
  // `see`, if set, is called for every row before it becomes weights.
  void compute(const QueryBlock& block, const ScratchMatrix<A>& keys, const SeeScores<A>& see) {
    const StridedMatrix<A> queries = left_factor(
        rows_view(problem_.query, block.batch, block.head, block.queries, problem_.width), packed_);
    columns.find(block.batch, block.head, block.queries);
    weights.set_columns(columns.count());
    visible.resize(static_cast<size_t>(block.count()));
    seen_.resize(visible.size());
    for (const Strip& strip : columns.strips()) {
      multiply_strip(strip, queries, problem_.width, keys, weights);
      for (int64_t i = strip.rows.begin; i < strip.rows.end; ++i) finish_scores(block, strip, i, see);
      normalize(strip);
    }
  }

  // Copies the weights of the block to rows of whole paddings of keys, for load().
  void save(RowMatrix<A> to) const {
    for_each_strip_row([&](const Strip& strip, int64_t i) {
      std::copy(weights.row(i) + strip.columns.begin, weights.row(i) + strip.columns.end,
                to.data + i * to.row + strip.columns.begin);
    });
  }

  // As compute(), from what save() wrote.
  void load(const QueryBlock& block, RowMatrix<const A> from) {
    columns.find(block.batch, block.head, block.queries);
    weights.set_columns(columns.count());
    visible.resize(static_cast<size_t>(block.count()));
    for_each_strip_row([&](const Strip& strip, int64_t i) {
      const A* row = from.data + i * from.row;
      std::copy(row + strip.columns.begin, row + strip.columns.end, weights.row(i) + strip.columns.begin);
      visible[static_cast<size_t>(i)] = whole_paddings(columns.visible(i));
    });
  }

  // Columns of a strip: result[rows, columns] = left[rows, depth] . right[depth, keys of the columns].
  void multiply_strip(const Strip& strip, const StridedMatrix<A>& left, int64_t depth,
                      const ScratchMatrix<A>& right, const ScratchMatrix<A>& result) const {
    columns.for_each_run(strip.columns, [&](int64_t key, Range part) {
      matrix_product<A>({strip.rows.end - strip.rows.begin, part.end - part.begin, depth},
                        {left.data + strip.rows.begin * left.row, left.row, left.column},
                        {right.row(0) + key, right.stride()},
                        {result.row(strip.rows.begin) + part.begin, result.stride()}, false);
    });
  }

  // Rows of a strip: result[rows, width] = factors[rows, columns] . right[keys of the columns, width], where
  // `factors` are weights or their gradients.
  void combine_strip(const Strip& strip, const ScratchMatrix<A>& factors, const RowMatrix<const A>& right,
                     bool finite_right, int64_t width, const RowMatrix<A>& result) const {
    const RowMatrix<A> rows{result.data + strip.rows.begin * result.row, result.row};
    const int64_t count = strip.rows.end - strip.rows.begin;
    if (strip.columns.empty()) matrix_product<A>({count, width, 0}, factors.left(), right, rows, false);
    bool accumulate = false;
    columns.for_each_run(strip.columns, [&](int64_t key, Range part) {
      const int64_t depth = std::min(part.end - part.begin, problem_.keys - key);
      weighted_product<A>({count, width, depth},
                          {factors.row(strip.rows.begin) + part.begin, factors.stride(), 1},
                          {right.data + key * right.row, right.row}, finite_right, rows, accumulate);
      accumulate = true;
    });
  }

  // sums[keys of the columns] += factors^T . rows, where rows is [queries, width].
  void add_transposed(const ScratchMatrix<A>& factors, const RowMatrix<const A>& rows, bool finite_rows,
                      int64_t width, const RowMatrix<A>& sums) const {
    columns.for_each_segment([&](Range queries, Range segment) {
      columns.for_each_run(segment, [&](int64_t key, Range part) {
        weighted_product<A>(
            {std::min(part.end - part.begin, problem_.keys - key), width, queries.end - queries.begin},
            {factors.row(queries.begin) + part.begin, 1, factors.stride()},
            {rows.data + queries.begin * rows.row, rows.row}, finite_rows,
            {sums.data + key * sums.row, sums.row}, true);
      });
    });
  }

  // Zeros in row `i` of a matrix shaped like the weights, everywhere in its strip but at the columns that the
  // query may see.
  void clear_hidden(const Strip& strip, A* row, int64_t i) const {
    const Range& kept = visible[static_cast<size_t>(i)];
    std::fill(row + strip.columns.begin, row + std::max(kept.begin, strip.columns.begin), A(0));
    std::fill(row + std::max(kept.end, strip.columns.begin), row + strip.columns.end, A(0));
  }

  ScratchMatrix<A> weights;
  BlockColumns columns;
  std::vector<Range> visible;  // whole paddings that hold all columns that a query may see

 private:
  static Range whole_paddings(Range seen) {
    if (seen.empty()) return seen;
    return {seen.begin / kColumnPadding * kColumnPadding, padded_columns(seen.end)};
  }

  template <class Function>
  void for_each_strip_row(const Function& function) const {
    for (const Strip& strip : columns.strips()) {
      for (int64_t i = strip.rows.begin; i < strip.rows.end; ++i) function(strip, i);
    }
  }

  void finish_scores(const QueryBlock& block, const Strip& strip, int64_t i, const SeeScores<A>& see) {
    A* row = weights.row(i);
    Range& range = seen_[static_cast<size_t>(i)] = columns.visible(i);
    const int64_t query = block.queries.begin + i;
    if (problem_.bias.data != nullptr) {
      const A* bias = problem_.bias.at(block.batch, block.head, query);
      columns.for_each_run(range, [&](int64_t key, Range part) {
        for (int64_t j = part.begin; j < part.end; ++j, ++key) row[j] += bias[key * problem_.bias.column];
      });
    }
    if (problem_.rules.has_lists()) range = hide_unlisted(block, query, range, row);
    visible[static_cast<size_t>(i)] = whole_paddings(range);
    clear_hidden(strip, row, i);
    if (range.empty()) return;
    fill_edges(i, -std::numeric_limits<A>::infinity());
    if (see) see(i, row, visible[static_cast<size_t>(i)]);
  }

  // The padding that a row sees beside its keys.
  void fill_edges(int64_t i, A value) {
    const Range& seen = seen_[static_cast<size_t>(i)];
    const Range& range = visible[static_cast<size_t>(i)];
    std::fill(weights.row(i) + range.begin, weights.row(i) + seen.begin, value);
    std::fill(weights.row(i) + seen.end, weights.row(i) + range.end, value);
  }

  // Rows are normalized in whole paddings, where hidden scores are -inf; neighbours that see the same ones
  // together.
  void normalize(const Strip& strip) {
    for (int64_t i = strip.rows.begin, end = 0; i < strip.rows.end; i = end) {
      const Range range = visible[static_cast<size_t>(i)];
      const auto same = [&](const Range& other) {
        return other.begin == range.begin && other.end == range.end;
      };
      for (end = i + 1; end < strip.rows.end && same(visible[static_cast<size_t>(end)]);) ++end;
      if (range.empty()) continue;
      A* rows = weights.row(i) + range.begin;
      normalize_rows(problem_.normalizer, rows, rows, {end - i, range.end - range.begin, weights.stride()});
      for (int64_t row = i; row < end; ++row) {
        const A first = weights.row(row)[seen_[static_cast<size_t>(row)].begin];
        const bool spoilt = first != first;
        if (spoilt) fill_edges(row, A(0));
      }
    }
  }

  // -inf over the scores inside `range` of keys that are not listed; narrows the range to the rest.
  Range hide_unlisted(const QueryBlock& block, int64_t query, Range range, A* scores) const {
    Range kept{range.end, range.begin};
    int64_t done = range.begin;
    columns.for_each_listed(block.batch, block.head, query, [&](Range listed) {
      std::fill(scores + done, scores + listed.begin, -std::numeric_limits<A>::infinity());
      kept = {std::min(kept.begin, listed.begin), listed.end};
      done = listed.end;
    });
    return kept.empty() ? Range{} : kept;
  }

  const AttentionProblem<T>& problem_;
  ScratchMatrix<A> packed_;
  std::vector<Range> seen_;  // columns that a query may see, by the rules and the ends of its list
};

}  // namespace giantrabbit::ops::cpu
