// The support of attention by keys: a counting sort of the entries of every key head, stable, so that sums
// over a key's entries have one order. In: the compressed rows. Out: rows, weights and gradients of the
// entries, key by key. The rows of a key head are cut into kTransposeParts parts; a part belongs to one warp,
// which places its rows one after another, and has a cell per key for where its entries go.
#pragma once

#include "ops/cuda/device.cuh"

namespace giantrabbit::ops::cuda {

struct SupportParts {
  int64_t rows_per_head;  // of keys: those of a group of heads follow each other
  int64_t rows_per_part;
};

__device__ inline SupportParts support_parts(const AttentionProblem& problem) {
  const int64_t rows = problem.heads / problem.key_heads * problem.queries;
  return {rows, (rows + kTransposeParts - 1) / kTransposeParts};
}

__global__ void __launch_bounds__(kBlockThreads)
    count_support_columns(AttentionProblem problem, const int64_t* row_offsets, const int32_t* keys,
                          int32_t* counts) {
  const SupportParts parts = support_parts(problem);
  const int64_t row = int64_t{blockIdx.x} * kBlockWarps + warp_index();
  if (row >= problem.batch * problem.key_heads * parts.rows_per_head) return;  // nobody meets at a barrier
  const int64_t head = row / parts.rows_per_head;
  const int64_t part = row % parts.rows_per_head / parts.rows_per_part;
  int32_t* const cells = counts + head * problem.keys * kTransposeParts + part;
  // Whole numbers: their sum is the same in any order.
  for (int64_t entry = row_offsets[row] + lane_index(); entry < row_offsets[row + 1]; entry += kWarp)
    atomicAdd(cells + keys[entry] * kTransposeParts, 1);
}

constexpr int kTransposeBlocks =
    4;  // per multiprocessor: left alone, ptxas aims at more and spills registers

template <class M>
__global__ void __launch_bounds__(kBlockThreads, kTransposeBlocks)
    transpose_support(AttentionProblem problem, const int64_t* row_offsets, const int32_t* keys,
                      const M* weights, const M* score_grads, int64_t* cells, int32_t* to_rows, M* to_weights,
                      M* to_score_grads) {
  const SupportParts parts = support_parts(problem);
  const int64_t warp = int64_t{blockIdx.x} * kBlockWarps + warp_index();
  const int64_t head = warp / kTransposeParts;
  const int64_t part = warp % kTransposeParts;
  if (head >= problem.batch * problem.key_heads) return;
  int64_t* const own_cells = cells + head * problem.keys * kTransposeParts + part;
  const int64_t begin = part * parts.rows_per_part;
  const int64_t most = begin + parts.rows_per_part;
  const int64_t end = most < parts.rows_per_head ? most : parts.rows_per_head;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t* const offset = row_offsets + head * parts.rows_per_head + row;
    for (int64_t entry = offset[0] + lane_index(); entry < offset[1]; entry += kWarp) {
      int64_t& cell = own_cells[keys[entry] * kTransposeParts];  // a row has each key once
      const int64_t place = cell;
      cell = place + 1;
      to_rows[place] = static_cast<int32_t>(row);
      to_weights[place] = weights[entry];
      if (to_score_grads != nullptr) to_score_grads[place] = score_grads[entry];
    }
    __syncwarp();  // other lanes use the cells in the next row
  }
}

}  // namespace giantrabbit::ops::cuda
