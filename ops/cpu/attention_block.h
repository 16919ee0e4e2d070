// The parts that forward, support and backward of sparse_mask_attention share: packed operands of one
// key/value head and the weights of one block of queries. In, an AttentionProblem; out, scratch matrices of
// the accumulation type with padded rows. Invariant: outside a query's visible keys, and in the padding that
// is read, weights are 0.
#pragma once

#include <algorithm>
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

  A* row(int64_t i) const { return data_.get() + i * stride_; }
  int64_t stride() const { return stride_; }
  StridedMatrix<A> left() const { return {data_.get(), stride_, 1}; }
  RowMatrix<const A> right() const { return {data_.get(), stride_}; }
  RowMatrix<A> result() { return {data_.get(), stride_}; }

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

// Rows in the accumulation type, padded with zeros.
template <class T, class A>
void pack_rows(const RowsView<T>& from, ScratchMatrix<A>& to) {
  for (int64_t i = 0; i < from.rows; ++i) {
    const T* source = from.data + i * from.row;
    A* target = to.row(i);
    if (from.column == 1) {
      for (int64_t j = 0; j < from.columns; ++j) target[j] = static_cast<A>(source[j]);
    } else {
      for (int64_t j = 0; j < from.columns; ++j) target[j] = static_cast<A>(source[j * from.column]);
    }
    std::fill(target + from.columns, target + padded_columns(from.columns), A(0));
  }
}

// Rows as a left factor: in place where the type permits, else packed.
template <class T, class A>
StridedMatrix<A> left_factor(const RowsView<T>& rows, ScratchMatrix<A>& scratch) {
  if constexpr (std::is_same_v<T, A>) {
    return {rows.data, rows.row, rows.column};
  } else {
    pack_rows(rows, scratch);
    return scratch.left();
  }
}

// Rows as a right factor: in place where they also are whole paddings, else packed.
template <class T, class A>
RowMatrix<const A> right_factor(const RowsView<T>& rows, ScratchMatrix<A>& scratch) {
  if constexpr (std::is_same_v<T, A>) {
    if (rows.column == 1 && rows.columns % kColumnPadding == 0) return {rows.data, rows.row};
  }
  pack_rows(rows, scratch);
  return scratch.right();
}

// Rows that a product writes: in place where type and padding permit, else in scratch until store() copies
// them.
template <class T>
class ResultRows {
 public:
  using A = Accumulate<T>;

  ResultRows(T* data, int64_t row, int64_t column, int64_t columns, ScratchMatrix<A>& scratch)
      : data_(data), row_(row), column_(column), columns_(columns), scratch_(scratch) {}

  RowMatrix<A> matrix() const {
    if constexpr (std::is_same_v<T, A>) {
      if (in_place()) return {data_, row_};
    }
    return scratch_.result();
  }
  void clear(int64_t rows) const {
    const RowMatrix<A> result = matrix();
    for (int64_t i = 0; i < rows; ++i) std::fill_n(result.data + i * result.row, columns_, A(0));
  }
  void store(int64_t rows) const {
    if (in_place()) return;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns_; ++j)
        data_[i * row_ + j * column_] = static_cast<T>(scratch_.row(i)[j]);
    }
  }

 private:
  bool in_place() const { return std::is_same_v<T, A> && column_ == 1 && columns_ % kColumnPadding == 0; }

  T* data_;
  int64_t row_;
  int64_t column_;
  int64_t columns_;
  ScratchMatrix<A>& scratch_;
};

template <class T>
ResultRows<T> result_rows(const HeadsView<T>& view, int64_t batch, int64_t head, int64_t first,
                          int64_t columns, ScratchMatrix<Accumulate<T>>& scratch) {
  return {view.at(batch, head, first), view.row, view.column, columns, scratch};
}

// A product whose left factor are weights or their gradients: where one is 0, its row of `right` does not
// count.
template <class A>
void weighted_product(const ProductSize& size, const StridedMatrix<A>& weights,
                      const RowMatrix<const A>& right, bool finite_right, const RowMatrix<A>& result,
                      bool accumulate) {
  if (finite_right) {
    matrix_product(size, weights, right, result, accumulate);
  } else {
    matrix_product_without_zeros(size, weights, right, result, accumulate);
  }
}

// Rows times `factor` as columns, in tiles that stay in the registers or the first-level cache.
template <class T, class A>
void pack_transposed(const RowsView<T>& from, A factor, ScratchMatrix<A>& to) {
  constexpr int64_t kTile = 8;
  int64_t begin = 0;
  for (; begin + kTile <= from.rows; begin += kTile) {
    const T* source = from.data + begin * from.row;
    for (int64_t j = 0; j < from.columns; ++j, source += from.column) {
      A tile[kTile];
      for (int64_t i = 0; i < kTile; ++i) tile[i] = static_cast<A>(source[i * from.row]) * factor;
      std::copy_n(tile, kTile, to.row(j) + begin);
    }
  }
  for (int64_t j = 0; j < from.columns; ++j) {
    const T* source = from.data + begin * from.row + j * from.column;
    A* target = to.row(j) + begin;
    for (int64_t i = begin; i < from.rows; ++i, source += from.row)
      *target++ = static_cast<A>(*source) * factor;
    std::fill(target, to.row(j) + padded_columns(from.rows), A(0));
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
      : weights(problem.block_queries(), problem.keys),
        visible(static_cast<size_t>(problem.block_queries())),
        problem_(problem),
        packed_(problem.block_queries(), problem.width) {}

  // Computes the scores against `keys` (packed, transposed, times the scale) and normalizes them.
  // `before` sees every row of scores and its range before it becomes weights.
  template <class Before>
  void compute(const QueryBlock& block, const ScratchMatrix<A>& keys, const Before& before) {
    queries = left_factor(rows_view(problem_.query, block.batch, block.head, block.queries, problem_.width),
                          packed_);
    find_columns(block);
    const int64_t width = columns.end - columns.begin;
    if (width == 0) return;
    matrix_product({block.count(), width, problem_.width}, queries,
                   {keys.right().data + columns.begin, keys.stride()},
                   {weights.row(0) + columns.begin, weights.stride()}, false);
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

  ScratchMatrix<A> weights;
  StridedMatrix<A> queries{};
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
  ScratchMatrix<A> packed_;
};

}  // namespace giantrabbit::ops::cpu
