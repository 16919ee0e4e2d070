// The scores of one chunk of queries against the chunks that it sees, which all kernels of lsh_attention
// share. In, a head and a chunk; out, a scratch matrix [chunk_length, window * chunk_length]. Invariant: in
// whole paddings of columns, a key of padding is none that a query may see.
#pragma once

#include "ops/cpu/attention_matrix.h"
#include "ops/cpu/lsh_functions.h"
#include "ops/cpu/lsh_problem.h"

namespace giantrabbit::ops::cpu {

// Rows of `from` at the positions, zeros for padding.
template <class A>
void gather_rows(const A* from, int64_t width, const int32_t* positions, int64_t count,
                 ScratchMatrix<A>& to) {
  for (int64_t i = 0; i < count; ++i) {
    A* end = to.row(i);
    if (positions[i] != kNobody) end = std::copy_n(from + positions[i] * width, width, end);
    std::fill(end, to.row(i) + padded_columns(width), A(0));
  }
}

// Rows that are gathered soon begin their way into the cache: hashing scatters them over all of memory.
template <class A>
void fetch_rows(const RowMatrix<const A>& from, int64_t width, const int32_t* positions, int64_t count) {
  constexpr int64_t kLine = 64 / sizeof(A);
  for (int64_t i = 0; i < count; ++i) {
    if (positions[i] == kNobody) continue;
    const A* row = from.data + positions[i] * from.row;
    for (int64_t e = 0; e < width; e += kLine) __builtin_prefetch(row + e, 0, 2);
  }
}

// The functions of the chosen instruction set; T is float or double.
template <class T>
const LshFunctionsOf<T>& lsh_functions_of();
template <>
const LshFunctionsOf<float>& lsh_functions_of<float>();
template <>
const LshFunctionsOf<double>& lsh_functions_of<double>();

// One object per thread: its scratch is reused over chunks.
template <class A>
class LshTile {
 public:
  LshTile(const LshProblem<A>& problem, const LshHead<A>& head)
      : rows(head.chunks.chunk_length()),
        columns(head.chunks.window() * rows),
        padded(padded_columns(columns)),
        keys(static_cast<size_t>(padded), kNobody),
        scores(rows, columns),
        query_rows(rows, problem.width),
        key_rows(columns, problem.width),
        problem_(problem),
        head_(head),
        keys_transposed_(problem.width, columns) {}

  // `once`: a key that the window holds several times counts once.
  void compute(int64_t chunk, bool once) {
    const LshChunks& chunks = head_.chunks;
    queries = chunks.positions(chunk);
    bool one_round = true;
    for (int64_t part = 0; part < chunks.window(); ++part) {
      const int64_t seen = chunks.seen(chunk, part);
      std::copy_n(chunks.positions(seen), rows, keys.data() + part * rows);
      one_round = one_round && seen / chunks.per_round() == chunk / chunks.per_round();
    }
    if (once && !one_round) drop_repeated_keys();
    gather_rows(head_.query, problem_.width, queries, rows, query_rows);
    gather_rows(head_.key, problem_.width, keys.data(), columns, key_rows);
    transpose(columns, problem_.width, key_rows.left(), problem_.scale, keys_transposed_.result());
    matrix_product<A>({rows, columns, problem_.width}, query_rows.left(), keys_transposed_.right(),
                      scores.result(), false);
  }

  // What compute() of another chunk will read.
  void fetch(int64_t chunk) const {
    fetch_rows<A>({head_.query, problem_.width}, problem_.width, head_.chunks.positions(chunk), rows);
    fetch_seen(chunk, head_.key, problem_.width);
  }
  // The rows of all positions that another chunk sees.
  void fetch_seen(int64_t chunk, const A* from, int64_t width) const {
    const LshChunks& chunks = head_.chunks;
    for (int64_t part = 0; part < chunks.window(); ++part)
      fetch_rows<A>({from, width}, width, chunks.positions(chunks.seen(chunk, part)), rows);
  }

  // What the query of row `i` may see.
  LshRow row(int64_t i) const {
    const int32_t query = queries[i];
    const int32_t last = query == kNobody ? -1 : problem_.pattern.causal ? query : kNobody - 1;
    return {keys.data(), padded, last, problem_.pattern.exclude_self ? query : -1};
  }

  int64_t rows;
  int64_t columns;
  int64_t padded;
  const int32_t* queries = nullptr;  // positions of the rows
  std::vector<int32_t> keys;         // positions of the columns
  ScratchMatrix<A> scores;
  ScratchMatrix<A> query_rows;
  ScratchMatrix<A> key_rows;

 private:
  // A round holds a position once, so this happens at the seams between rounds only.
  void drop_repeated_keys() {
    for (int64_t j = 0; j < columns; ++j) {
      const auto here = keys.begin() + j;
      if (std::find(keys.begin(), here, *here) != here) *here = kNobody;
    }
  }

  const LshProblem<A>& problem_;
  const LshHead<A>& head_;
  ScratchMatrix<A> keys_transposed_;
};

}  // namespace giantrabbit::ops::cpu
