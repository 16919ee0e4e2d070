// Scores of one block's queries, a query per warp and a key per lane: keys pass through shared memory in
// tiles that all warps of the block read. In: an attention problem. Out: calls of visit(key, score), -inf
// where the mask forbids. Tiles are visited from the last to the first: with causal masks the nearest keys
// come first, which raises bounds soonest. Scores are sums in the order of the columns, by fused
// multiply-adds: the same bits in every sweep.
#pragma once

#include "ops/cuda/device.cuh"

namespace giantrabbit::ops::cuda {

constexpr int kTileKeys = kWarp;
constexpr int kTileColumns = 64;              // wider heads take several rounds per tile
constexpr int kTilePitch = kTileColumns + 1;  // lanes read one column of neighbouring rows: different banks

template <class M>
struct TileMemory {
  M keys[kTileKeys * kTilePitch];
  M queries[kBlockWarps * kTileColumns];
};

struct KeyRange {
  int64_t begin;
  int64_t end;
};

__device__ inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
__device__ inline int64_t larger(int64_t a, int64_t b) { return a < b ? b : a; }
__device__ inline float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
__device__ inline double multiply_add(double a, double b, double c) { return fma(a, b, c); }

// The keys that query i of sequence b sees; begin >= end if none.
__device__ inline KeyRange visible_keys(const AttentionProblem& problem, int64_t b, int64_t i) {
  const int64_t aligned = i + problem.keys - problem.queries;
  KeyRange range{0, problem.keys};
  if (problem.key_lengths != nullptr) range.end = smaller(range.end, problem.key_lengths[b]);
  if (problem.causal) range.end = smaller(range.end, aligned + 1);
  if (problem.window > 0) {
    range.begin = larger(range.begin, aligned - problem.window + 1);
    range.end = smaller(range.end, aligned + problem.window);
  }
  return range;
}

// The part of a problem that a block works on.
template <class Stored>
struct QueryBlock {
  const AttentionProblem& problem;
  const Stored* query;  // of the head, from its first row on
  const Stored* key;
  int64_t first;     // query of the first warp
  KeyRange visible;  // of this warp's query; empty past the end of the queries
  KeyRange tiles;    // first and last of the block

  __device__ int64_t own_query() const { return first + warp_index(); }
  __device__ bool exists() const { return own_query() < problem.queries; }
};

template <class Stored>
__device__ QueryBlock<Stored> make_query_block(const AttentionProblem& problem, const Stored* query,
                                               const Stored* key, int64_t b, int64_t h, int64_t first) {
  QueryBlock<Stored> block{
      problem,
      query + b * problem.query.batch + h * problem.query.head,
      key + b * problem.key.batch + h / (problem.heads / problem.key_heads) * problem.key.head,
      first,
      {0, 0},
      {0, 0}};
  if (block.exists()) block.visible = visible_keys(problem, b, block.own_query());
  const int64_t last = smaller(first + kBlockWarps, problem.queries) - 1;
  // Both ends rise with the query.
  const KeyRange all{visible_keys(problem, b, first).begin, visible_keys(problem, b, last).end};
  if (all.begin < all.end) block.tiles = {all.begin / kTileKeys, (all.end - 1) / kTileKeys + 1};
  return block;
}

// Queries and keys of one round: rows that do not exist are zeros, and so are columns past the last.
template <class Stored, class M>
__device__ void load_tile(const QueryBlock<Stored>& block, int64_t first_key, int64_t first_column,
                          TileMemory<M>& memory) {
  const AttentionProblem& problem = block.problem;
  const int column = static_cast<int>(threadIdx.x) % kTileColumns;
  const bool exists = first_column + column < problem.width;
  for (int row = static_cast<int>(threadIdx.x) / kTileColumns; row < kTileKeys;
       row += kBlockThreads / kTileColumns) {
    const Stored* const key = block.key + (first_key + row) * problem.key.row + first_column + column;
    memory.keys[row * kTilePitch + column] = exists && first_key + row < problem.keys ? widened(*key) : M(0);
  }
  for (int row = static_cast<int>(threadIdx.x) / kTileColumns; row < kBlockWarps;
       row += kBlockThreads / kTileColumns) {
    const Stored* const query = block.query + (block.first + row) * problem.query.row + first_column + column;
    memory.queries[row * kTileColumns + column] =
        exists && block.first + row < problem.queries ? widened(*query) : M(0);
  }
}

// The whole block comes here: it meets at barriers. visit() may use operations of the warp, not of the block.
template <class Stored, class M, class Visit>
__device__ void sweep_scores(const QueryBlock<Stored>& block, TileMemory<M>& memory, Visit visit) {
  const M scale = static_cast<M>(block.problem.scale);
  for (int64_t tile = block.tiles.end - 1; tile >= block.tiles.begin; --tile) {
    M sum = M(0);
    for (int64_t first_column = 0; first_column < block.problem.width; first_column += kTileColumns) {
      __syncthreads();  // everybody has read the round before
      load_tile(block, tile * kTileKeys, first_column, memory);
      __syncthreads();
      const M* const key = memory.keys + lane_index() * kTilePitch;
      const M* const query = memory.queries + warp_index() * kTileColumns;
#pragma unroll 8
      for (int column = 0; column < kTileColumns; ++column)
        sum = multiply_add(query[column], key[column], sum);
    }
    const int64_t j = tile * kTileKeys + lane_index();
    const bool seen = block.visible.begin <= j && j < block.visible.end;
    visit(static_cast<int>(j), seen ? sum * scale : -kInfinity<M>);
  }
}

}  // namespace giantrabbit::ops::cuda
