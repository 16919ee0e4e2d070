// Matrix products for one instruction set: GR_CAPABILITY names the namespace, the compiler's flags set the
// width. Input and output are described in matrix_product.h. Every element of the result is one chain of
// multiply-adds in the order of the depth, whatever tile it falls into, so results do not depend on how a
// caller cuts a matrix.
#include "ops/cpu/matrix_functions.h"

#include "ops/cpu/lane_transpose.h"
#include "ops/cpu/matrix_sparse_rows.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// Accumulators of a tile: as many as the registers hold beside one row of the right factor and a broadcast.
#if defined(__AVX512F__)
constexpr int kTileVectors = 4;
constexpr int kAccumulators = 24;
#elif defined(__AVX2__)
constexpr int kTileVectors = 2;
constexpr int kAccumulators = 12;
#else
constexpr int kTileVectors = 2;
constexpr int kAccumulators = 8;
#endif
constexpr int kMostRows = 12;
// A narrow tile is higher, so that its sums, too, hide the latency of the multiply-adds.
constexpr int tile_rows(int vectors) {
  return kAccumulators / vectors < kMostRows ? kAccumulators / vectors : kMostRows;
}
// A panel of the right factor stays in the first-level cache.
constexpr int64_t kDepth = 256;

template <class T>
struct Operands {
  int64_t depth;
  StridedMatrix<T> left;
  RowMatrix<const T> right;
  RowMatrix<T> result;
  bool accumulate;
};

template <class T, int rows, int vectors>
void tile(const Operands<T>& of) {
  constexpr int64_t kCount = Lanes<T>::count;
  Vec<T> sum[rows][vectors];
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) {
      sum[i][j] = of.accumulate ? load(of.result.data + i * of.result.row + j * kCount) : Vec<T>{};
    }
  }
  const T* left = of.left.data;
  const T* right = of.right.data;
  for (int64_t k = 0; k < of.depth; ++k, left += of.left.column, right += of.right.row) {
    Vec<T> factor[vectors];
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) factor[j] = load(right + j * kCount);
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      const T value = left[i * of.left.row];
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sum[i][j] += value * factor[j];
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) {
      // A copy first: the address of a sum itself would keep all sums in memory.
      const Vec<T> total = sum[i][j];
      __builtin_memcpy(of.result.data + i * of.result.row + j * kCount, &total, sizeof(total));
    }
  }
}

// A tile with a height known at run time, at most `rows`.
template <class T, int rows, int vectors>
void some_rows(int64_t height, const Operands<T>& of) {
  if constexpr (rows > 0) {
    if (height == rows) {
      tile<T, rows, vectors>(of);
    } else {
      some_rows<T, rows - 1, vectors>(height, of);
    }
  }
}

// The last rows go into two tiles of similar height: they keep more sums in flight than a full and a tiny
// one.
template <class T, int vectors>
void panel(int64_t rows, Operands<T> of) {
  constexpr int kRows = tile_rows(vectors);
  while (rows > 0) {
    const bool in_halves = rows > kRows && rows < 2 * kRows;
    const int64_t height = in_halves ? (rows + 1) / 2 : rows < kRows ? rows : kRows;
    some_rows<T, kRows, vectors>(height, of);
    of.left.data += height * of.left.row;
    of.result.data += height * of.result.row;
    rows -= height;
  }
}

// The last columns of a block, fewer than kTileVectors vectors.
template <class T, int vectors>
void last_columns(int64_t left_over, int64_t rows, const Operands<T>& of) {
  if constexpr (vectors > 0) {
    if (left_over == vectors) {
      panel<T, vectors>(rows, of);
    } else {
      last_columns<T, vectors - 1>(left_over, rows, of);
    }
  }
}

template <class T>
void product(ProductSize size, StridedMatrix<T> left, RowMatrix<const T> right, RowMatrix<T> result,
             bool accumulate) {
  constexpr int64_t kCount = Lanes<T>::count;
  const int64_t vectors = (size.columns + kCount - 1) / kCount;
  int64_t begin = 0;
  do {
    const int64_t depth = size.depth - begin < kDepth ? size.depth - begin : kDepth;
    Operands<T> of{depth, left, right, result, accumulate || begin > 0};
    int64_t vector = 0;
    for (; vector + kTileVectors <= vectors; vector += kTileVectors) {
      panel<T, kTileVectors>(size.rows, of);
      of.right.data += kTileVectors * kCount;
      of.result.data += kTileVectors * kCount;
    }
    last_columns<T, kTileVectors - 1>(vectors - vector, size.rows, of);
    left.data += depth * left.column;
    right.data += depth * right.row;
    begin += depth;
  } while (begin < size.depth);
}

// A block of rows x columns, at most a vector's lanes each; missing rows become zeros.
template <class T>
void transpose_block(int64_t rows, int64_t columns, const StridedMatrix<T>& from, T factor,
                     const RowMatrix<T>& to) {
  constexpr int kCount = Lanes<T>::count;
  Vec<T> block[kCount];
  if (rows == kCount && columns == kCount && from.column == 1) {
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) block[i] = load(from.data + i * from.row) * factor;
    transpose_lanes<T, 1>(block);
#pragma GCC unroll 16
    for (int j = 0; j < kCount; ++j) {
      const Vec<T> column = block[j];
      __builtin_memcpy(to.data + j * to.row, &column, sizeof(column));
    }
    return;
  }
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t i = 0; i < kCount; ++i) {
      to.data[j * to.row + i] = i < rows ? from.data[i * from.row + j * from.column] * factor : T(0);
    }
  }
}

template <class T>
void transpose(int64_t rows, int64_t columns, StridedMatrix<T> from, T factor, RowMatrix<T> to) {
  constexpr int64_t kCount = Lanes<T>::count;
  constexpr int64_t kPadding = 16;  // kColumnPadding
  for (int64_t i = 0; i < (rows + kPadding - 1) / kPadding * kPadding; i += kCount) {
    const int64_t height = rows < i ? 0 : rows - i < kCount ? rows - i : kCount;
    for (int64_t j = 0; j < columns; j += kCount) {
      transpose_block<T>(height, columns - j < kCount ? columns - j : kCount,
                         {from.data + i * from.row + j * from.column, from.row, from.column}, factor,
                         {to.data + j * to.row + i, to.row});
    }
  }
}

// 0 times anything finite is 0; the sum of the products is NaN if there is one number that is not.
template <class T>
bool finite(RowMatrix<const T> matrix, int64_t rows, int64_t columns) {
  constexpr int64_t kCount = Lanes<T>::count;
  Vec<T> even{};
  Vec<T> odd{};
  for (int64_t i = 0; i < rows; ++i) {
    const T* row = matrix.data + i * matrix.row;
    int64_t j = 0;
    for (; j + 2 * kCount <= columns; j += 2 * kCount) {
      even += load(row + j) * T(0);
      odd += load(row + j + kCount) * T(0);
    }
    for (; j < columns; j += kCount) {
      even += (j + kCount <= columns ? load(row + j) : load_part(row + j, columns - j, T(0))) * T(0);
    }
  }
  even += odd;
  bool all = true;
  for (int64_t lane = 0; lane < kCount; ++lane) all = all && even[lane] == T(0);
  return all;
}

}  // namespace

const MatrixFunctions matrix_functions = {
    {product<float>, transpose<float>, finite<float>, compress<float>, combine<float>, dots<float>,
     scatter<float>},
    {product<double>, transpose<double>, finite<double>, compress<double>, combine<double>, dots<double>,
     scatter<double>},
};

}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
