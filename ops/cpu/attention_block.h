// The parts that forward, support and backward of sparse_mask_attention share: packed operands of one
// key/value head and the weights of one block of queries. In, an AttentionProblem; out, scratch matrices of
// the accumulation type with padded rows. Invariant: outside a query's visible keys, and in the padding that
// is read, weights are 0.
#pragma once

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <vector>

#include "ops/cpu/attention_problem.h"
#include "ops/cpu/matrix_product.h"
#include "ops/cpu/row_normalizer.h"

namespace giantrabbit::ops::cpu {

// Scratch of one thread: a matrix whose rows are padded for matrix_product. Contents start undefined.
template <class A>
class ScratchMatrix {
 public:
  ScratchMatrix(int64_t rows, int64_t columns)
      : stride_(scratch_stride(columns)),
        data_(new A[static_cast<size_t>(rows * stride_ + kColumnPadding)]) {}

  A* row(int64_t i) { return data_.get() + i * stride_; }
  int64_t stride() const { return stride_; }
  void clear(int64_t rows) { std::fill_n(data_.get(), rows * stride_, A(0)); }
  // As left factor, as its transpose, as right factor from a row on, and as result from a column on.
  StridedMatrix<A> left(int64_t column = 0) const { return {data_.get() + column, stride_, 1}; }
  StridedMatrix<A> transposed() const { return {data_.get(), 1, stride_}; }
  RowMatrix<const A> right(int64_t i = 0, int64_t column = 0) const {
    return {data_.get() + i * stride_ + column, stride_};
  }
  RowMatrix<A> result(int64_t column = 0) { return {data_.get() + column, stride_}; }

 private:
  int64_t stride_;
  std::unique_ptr<A[]> data_;
};

// Rows of one head, as they are stored.
template <class T>
struct RowsView {
  const T* data;
  int64_t row;
  int64_t column;
  int64_t rows;
  int64_t columns;
};

template <class T>
RowsView<T> rows_view(const HeadsView<const T>& view, int64_t batch, int64_t head, Range rows,
                      int64_t columns) {
  return {view.at(batch, head, rows.begin), view.row, view.column, rows.end - rows.begin, columns};
}

// By the bits of the exponent: integer arithmetic lets the compiler use vectors.
template <class A>
bool all_finite(const A* data, int64_t n) {
  using Bits = std::conditional_t<sizeof(A) == 8, uint64_t, uint32_t>;
  constexpr Bits kExponent = std::bit_cast<Bits>(std::numeric_limits<A>::infinity());
  Bits spoilt = 0;
  for (int64_t i = 0; i < n; ++i) {
    spoilt |= (std::bit_cast<Bits>(data[i]) & kExponent) == kExponent ? Bits(1) : Bits(0);
  }
  return spoilt == 0;
}

// Copies rows times `factor`, pads with zeros, and reports whether every number is finite.
template <class T, class A>
bool pack_rows(const RowsView<T>& from, A factor, ScratchMatrix<A>& to) {
  bool finite = true;
  for (int64_t i = 0; i < from.rows; ++i) {
    const T* source = from.data + i * from.row;
    A* target = to.row(i);
    if (from.column == 1) {
      for (int64_t j = 0; j < from.columns; ++j) target[j] = static_cast<A>(source[j]) * factor;
    } else {
      for (int64_t j = 0; j < from.columns; ++j) target[j] = static_cast<A>(source[j * from.column]) * factor;
    }
    std::fill(target + from.columns, target + padded_columns(from.columns), A(0));
    finite = all_finite(target, from.columns) && finite;
  }
  return finite;
}

template <class T, class A>
void pack_transposed(const RowsView<T>& from, ScratchMatrix<A>& to) {
  constexpr int64_t kTile = 16;
  for (int64_t begin = 0; begin < from.rows; begin += kTile) {
    const int64_t count = std::min(kTile, from.rows - begin);
    const T* source = from.data + begin * from.row;
    for (int64_t j = 0; j < from.columns; ++j) {
      A* target = to.row(j) + begin;
      for (int64_t i = 0; i < count; ++i) target[i] = static_cast<A>(source[i * from.row + j * from.column]);
      std::fill(target + count, target + kTile, A(0));
    }
  }
}

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

// Scores and then weights of a block of queries, in place.
template <class T>
class WeightBlock {
 public:
  using A = Accumulate<T>;

  explicit WeightBlock(const AttentionProblem<T>& problem)
      : queries(problem.block_queries(), problem.width),
        weights(problem.block_queries(), problem.keys),
        visible(static_cast<size_t>(problem.block_queries())),
        problem_(problem) {}

  // Packs the block's queries (scaled), computes the scores against `keys` (packed, transposed), normalizes.
  // `before` sees every row of scores and its range before it becomes weights.
  template <class Before>
  void compute(const QueryBlock& block, const ScratchMatrix<A>& keys, const Before& before) {
    finite_queries =
        pack_rows(rows_view(problem_.query, block.batch, block.head, block.queries, problem_.width),
                  problem_.scale, queries);
    find_columns(block);
    const int64_t width = columns.end - columns.begin;
    if (width == 0) return;
    matrix_product({block.count(), width, problem_.width}, queries.left(), keys.right(0, columns.begin),
                   weights.result(columns.begin), false);
    for (int64_t i = 0; i < block.count(); ++i) normalize(block, i, before);
  }

  void compute(const QueryBlock& block, const ScratchMatrix<A>& keys) {
    compute(block, keys, [](int64_t, const A*, Range) {});
  }

  // Zeros in row `i` of a matrix shaped like the weights, everywhere but at the keys that the query may see.
  void clear_hidden(A* row, int64_t i) const {
    const Range& kept = visible[static_cast<size_t>(i)];
    std::fill(row + columns.begin, row + std::max(kept.begin, columns.begin), A(0));
    std::fill(row + std::max(kept.end, columns.begin), row + columns.end, A(0));
  }

  ScratchMatrix<A> queries;
  ScratchMatrix<A> weights;
  std::vector<Range> visible;  // of each query
  Range columns;               // holds all of them; whole paddings
  bool finite_queries = true;

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

  template <class Before>
  void normalize(const QueryBlock& block, int64_t i, const Before& before) {
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
    before(i, row, range);
    normalize_row(problem_.normalizer, row + range.begin, range.end - range.begin);
  }

  const AttentionProblem<T>& problem_;
};

}  // namespace giantrabbit::ops::cpu
