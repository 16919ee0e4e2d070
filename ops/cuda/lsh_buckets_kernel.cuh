// lsh_buckets: 32 vectors of one head per block, one per lane, in one round of hashing; the warps share the
// columns of the rotations. A rotated number is one chain of fused multiply-adds in the order of the columns,
// in the computing type: the bits of the CPU's matrix product with AVX2 or AVX-512
// (ops/cpu/matrix_functions.h) and so its buckets; without them the CPU rounds products, and a bucket can
// differ where the two largest numbers lie within rounding of each other. The largest of [x, -x] wins, the
// smallest bucket of equal ones; a first number that is NaN wins, other NaNs lose.
#pragma once

#include "ops/cuda/device.cuh"
#include "ops/cuda/lsh_kernels.h"

namespace giantrabbit::ops::cuda {

constexpr int kHashColumns = 4;       // of the rotations, per warp at a time
constexpr int kHashTileColumns = 64;  // of the vectors
constexpr int kHashTilePitch = kHashTileColumns + 1;

// A number and its place among [x, -x].
template <class M>
struct Largest {
  M value = -kInfinity<M>;
  int place = std::numeric_limits<int>::max();

  __device__ void offer(M other, int at) {
    if (other > value || (other == value && at < place)) {
      value = other;
      place = at;
    }
  }
};

template <class M>
struct HashMemory {
  M rows[kWarp * kHashTilePitch];
  M values[kBlockThreads];
  int places[kBlockThreads];
};

template <class Stored>
struct HashedVectors {
  const Stored* data;  // first vector of the block
  int64_t row;
  int64_t count;  // that exist
  int64_t width;
};

// Products of the lane's vector with `kHashColumns` columns of the rotations from `column` on.
template <class Stored, class M>
__device__ void rotate(const HashedVectors<Stored>& vectors, const M* rotations, int64_t rotation_row,
                       int column, int columns, HashMemory<M>& memory, M (&sums)[kHashColumns]) {
  for (int64_t first = 0; first < vectors.width; first += kHashTileColumns) {
    __syncthreads();  // everybody has read the round before
    const int own = static_cast<int>(threadIdx.x) % kHashTileColumns;
    for (int row = static_cast<int>(threadIdx.x) / kHashTileColumns; row < kWarp;
         row += kBlockThreads / kHashTileColumns) {
      const bool exists = row < vectors.count && first + own < vectors.width;
      memory.rows[row * kHashTilePitch + own] =
          exists ? widened(vectors.data[row * vectors.row + first + own]) : M(0);
    }
    __syncthreads();
    const int64_t left = vectors.width - first;
    const int here = left < kHashTileColumns ? static_cast<int>(left) : kHashTileColumns;
    for (int c = 0; c < here; ++c) {
      const M x = memory.rows[lane_index() * kHashTilePitch + c];
#pragma unroll
      for (int k = 0; k < kHashColumns; ++k) {
        if (column + k < columns) {
          const M turn = rotations[(first + c) * rotation_row + column + k];
          if constexpr (sizeof(M) == sizeof(float)) {
            sums[k] = fmaf(x, turn, sums[k]);
          } else {
            sums[k] = fma(x, turn, sums[k]);
          }
        }
      }
    }
  }
}

// The place of the largest of [x, -x], in the first warp; x are `columns` columns of the rotations.
template <class Stored, class M>
__device__ int largest_place(const HashedVectors<Stored>& vectors, const M* rotations, int64_t rotation_row,
                             int columns, HashMemory<M>& memory) {
  Largest<M> largest;
  bool undefined = false;
  for (int first = 0; first < columns; first += kBlockWarps * kHashColumns) {
    const int column = first + warp_index() * kHashColumns;
    M sums[kHashColumns]{};
    rotate(vectors, rotations, rotation_row, column, columns, memory, sums);
#pragma unroll
    for (int k = 0; k < kHashColumns; ++k) {
      if (column + k >= columns) continue;
      largest.offer(sums[k], column + k);
      largest.offer(-sums[k], columns + column + k);
      undefined = undefined || (column + k == 0 && sums[k] != sums[k]);
    }
  }
  __syncthreads();  // the first warp has read the factor before
  memory.values[threadIdx.x] = largest.value;
  memory.places[threadIdx.x] = largest.place;
  __syncthreads();
  for (int warp = 1; warp < kBlockWarps; ++warp) {
    const int at = warp * kWarp + lane_index();
    largest.offer(memory.values[at], memory.places[at]);
  }
  return undefined ? 0 : largest.place;
}

template <class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    lsh_buckets(LshHashingProblem problem, const Stored* vectors, const Math<Stored>* rotations,
                int64_t* buckets) {
  using M = Math<Stored>;
  auto& memory = *reinterpret_cast<HashMemory<M>*>(dynamic_shared_memory());
  const int64_t blocks_per_round = (problem.length + kWarp - 1) / kWarp;
  const int64_t first = blockIdx.x % blocks_per_round * kWarp;
  const int64_t round = blockIdx.x / blocks_per_round % problem.rounds;
  const int64_t head = blockIdx.x / blocks_per_round / problem.rounds;
  const int64_t b = head / problem.heads;
  const int64_t h = head % problem.heads;
  const HashedVectors<Stored> rows{
      vectors + b * problem.vectors.batch + h * problem.vectors.head + first * problem.vectors.row,
      problem.vectors.row, problem.length - first, problem.width};
  int64_t columns = 0;
  for (int factor = 0; factor < problem.factors; ++factor) columns += problem.bucket_counts[factor] / 2;
  const int64_t rotation_row = problem.rounds * columns;
  const M* turns =
      rotations + (problem.shared_rotations ? 0 : h * problem.width * rotation_row) + round * columns;
  int64_t bucket = 0;
  int64_t before = 1;
  for (int factor = 0; factor < problem.factors; ++factor) {
    const int count = problem.bucket_counts[factor];
    bucket += before * largest_place(rows, turns, rotation_row, count / 2, memory);
    before *= count;
    turns += count / 2;
  }
  if (warp_index() != 0 || lane_index() >= rows.count) return;
  const int64_t position = first + lane_index();
  const bool padding = problem.valid != nullptr && !problem.valid[b * problem.length + position];
  const int64_t in_round = before + (problem.valid != nullptr ? 1 : 0);
  buckets[(head * problem.rounds + round) * problem.length + position] =
      round * in_round + (padding ? before : bucket);
}

}  // namespace giantrabbit::ops::cuda
