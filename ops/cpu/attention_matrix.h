// Operands of the products of sparse_mask_attention: rows of one head as a call stores them, and scratch
// matrices in the accumulation type. In, views of the call's tensors; out, matrices whose rows are padded as
// matrix_product wants them. Invariant: what is read in the padding is 0 wherever it takes part in a sum.
#pragma once

#include <algorithm>
#include <memory>

#include "ops/cpu/attention_problem.h"
#include "ops/cpu/matrix_product.h"

namespace giantrabbit::ops::cpu {

// Scratch of one thread: a matrix whose rows are padded for matrix_product. Contents start undefined.
template <class A>
class ScratchMatrix {
 public:
  ScratchMatrix(int64_t rows, int64_t columns)
      : stride_(scratch_stride(columns)),
        data_(new A[static_cast<size_t>(rows * stride_ + kColumnPadding)]) {}

  // Fewer columns than there is room for, in neighbouring rows.
  void set_columns(int64_t columns) { stride_ = scratch_stride(columns); }

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

// Rows times `factor` in the accumulation type, padded with zeros.
template <class T, class A>
void pack_rows(const RowsView<T>& from, A factor, ScratchMatrix<A>& to) {
  for (int64_t i = 0; i < from.rows; ++i) {
    const T* source = from.data + i * from.row;
    A* target = to.row(i);
    if (from.column == 1) {
      for (int64_t j = 0; j < from.columns; ++j) target[j] = static_cast<A>(source[j]) * factor;
    } else {
      for (int64_t j = 0; j < from.columns; ++j) target[j] = static_cast<A>(source[j * from.column]) * factor;
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
    pack_rows(rows, A(1), scratch);
    return scratch.left();
  }
}

// Whether rows of a head's keys, values or their gradients may stay where they are stored: a copy that brings
// far rows together pays once about so many queries use it.
template <class T>
bool key_rows_may_stay(const AttentionProblem<T>& problem, int64_t row, int64_t columns) {
  constexpr int64_t kManyQueries = 256;
  return !problem.key_rows_are_far(row, columns) || problem.queries * problem.group() < kManyQueries;
}

// Rows as a right factor: in place where they may stay, the type permits and they are whole paddings, else
// packed.
template <class T, class A>
RowMatrix<const A> right_factor(const RowsView<T>& rows, ScratchMatrix<A>& scratch, bool may_stay = true) {
  if constexpr (std::is_same_v<T, A>) {
    if (may_stay && rows.column == 1 && rows.columns % kColumnPadding == 0) return {rows.data, rows.row};
  }
  pack_rows(rows, A(1), scratch);
  return scratch.right();
}

// Rows of one head that a product writes: in place where they may stay and type and padding permit, else in
// scratch until store() copies them.
template <class T>
class ResultRows {
 public:
  using A = Accumulate<T>;

  ResultRows() = default;
  ResultRows(const HeadsView<T>& view, int64_t batch, int64_t head, int64_t first, int64_t columns,
             ScratchMatrix<A>& scratch, bool may_stay = true)
      : data_(view.at(batch, head, first)),
        row_(view.row),
        column_(view.column),
        columns_(columns),
        may_stay_(may_stay),
        scratch_(scratch.result()) {}

  RowMatrix<A> matrix() const {
    if constexpr (std::is_same_v<T, A>) {
      if (in_place()) return {data_, row_};
    }
    return scratch_;
  }
  void clear(int64_t rows) const {
    const RowMatrix<A> result = matrix();
    for (int64_t i = 0; i < rows; ++i) std::fill_n(result.data + i * result.row, columns_, A(0));
  }
  void load(int64_t rows) const {
    if (in_place()) return;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns_; ++j)
        scratch_.data[i * scratch_.row + j] = static_cast<A>(data_[i * row_ + j * column_]);
    }
  }
  void store(int64_t rows) const {
    if (in_place()) return;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns_; ++j)
        data_[i * row_ + j * column_] = static_cast<T>(scratch_.data[i * scratch_.row + j]);
    }
  }

 private:
  bool in_place() const {
    return may_stay_ && std::is_same_v<T, A> && column_ == 1 && columns_ % kColumnPadding == 0;
  }

  T* data_ = nullptr;
  int64_t row_ = 0;
  int64_t column_ = 0;
  int64_t columns_ = 0;
  bool may_stay_ = true;
  RowMatrix<A> scratch_{};
};

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

// Rows times `factor` as columns.
template <class T, class A>
void pack_transposed(const RowsView<T>& from, A factor, ScratchMatrix<A>& to) {
  if constexpr (std::is_same_v<T, A>) {
    transpose(from.rows, from.columns, {from.data, from.row, from.column}, factor, to.result());
  } else {
    ScratchMatrix<A> some(kColumnPadding, from.columns);
    for (int64_t begin = 0; begin < from.rows; begin += kColumnPadding) {
      const int64_t rows = std::min(kColumnPadding, from.rows - begin);
      pack_rows<T, A>({from.data + begin * from.row, from.row, from.column, rows, from.columns}, factor,
                      some);
      transpose(rows, from.columns, some.left(), A(1), {to.row(0) + begin, to.stride()});
    }
  }
}

}  // namespace giantrabbit::ops::cpu
