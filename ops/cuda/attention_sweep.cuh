// Scores of one block's queries, a query per warp and a key per lane: keys pass through shared memory in
// tiles that all warps of the block read. In: an attention problem. Out: calls of visit(key, score), -inf
// where the mask forbids. Scores are sums in the order of the columns, by fused multiply-adds: the same bits
// in every sweep, whichever of query and key is the lane's.
#pragma once

#include "ops/cuda/attention_mask.cuh"

namespace giantrabbit::ops::cuda {

constexpr int kTileColumns = 64;              // wider heads take several rounds per tile
constexpr int kTilePitch = kTileColumns + 1;  // lanes read one column of neighbouring rows: different banks

// A row per warp and a row per lane.
template <class M>
struct TileMemory {
  M lanes[kWarp * kTilePitch];
  M warps[kBlockWarps * kTileColumns];
  int next_tiles[kBlockWarps];
};

__device__ inline float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
__device__ inline double multiply_add(double a, double b, double c) { return fma(a, b, c); }

// Rows of one head; the columns of a row are next to each other.
template <class Stored>
struct HeadRows {
  const Stored* data;
  int64_t row;
  int64_t count;
  int64_t width;

  __device__ const Stored* at(int64_t i) const { return data + i * row; }
};

template <class Stored>
__device__ HeadRows<Stored> head_rows(const void* data, const HeadsLayout& layout, int64_t b, int64_t h,
                                      int64_t count, int64_t width) {
  return {static_cast<const Stored*>(data) + b * layout.batch + h * layout.head, layout.row, count, width};
}

// Rows and columns that do not exist are zeros.
template <class Stored, class M>
__device__ void load_rows(const HeadRows<Stored>& rows, int64_t first, int count, int64_t first_column, M* to,
                          int pitch) {
  const int column = static_cast<int>(threadIdx.x) % kTileColumns;
  const bool exists = first_column + column < rows.width;
  for (int i = static_cast<int>(threadIdx.x) / kTileColumns; i < count; i += kBlockThreads / kTileColumns) {
    to[i * pitch + column] =
        exists && first + i < rows.count ? widened(rows.at(first + i)[first_column + column]) : M(0);
  }
}

// Product of the warp's row of `warps` and the lane's row of `lanes`. The block meets at barriers.
template <class Stored, class M>
__device__ M tile_product(const HeadRows<Stored>& warps, int64_t first_warp, const HeadRows<Stored>& lanes,
                          int64_t first_lane, TileMemory<M>& memory) {
  M sum = M(0);
  for (int64_t first_column = 0; first_column < lanes.width; first_column += kTileColumns) {
    __syncthreads();  // everybody has read the round before
    load_rows(lanes, first_lane, kWarp, first_column, memory.lanes, kTilePitch);
    load_rows(warps, first_warp, kBlockWarps, first_column, memory.warps, kTileColumns);
    __syncthreads();
    const M* const lane = memory.lanes + lane_index() * kTilePitch;
    const M* const warp = memory.warps + warp_index() * kTileColumns;
#pragma unroll 8
    for (int column = 0; column < kTileColumns; ++column) sum = multiply_add(warp[column], lane[column], sum);
  }
  return sum;
}

template <class M>
__device__ M score_of(const AttentionProblem& problem, int64_t b, int64_t h, int64_t i, int64_t j,
                      M product) {
  const M score = product * static_cast<M>(problem.scale);
  if (problem.bias.data == nullptr) return score;
  const HeadsLayout& layout = problem.bias.layout;
  return score + static_cast<const M*>(problem.bias.data)[b * layout.batch + h * layout.head +
                                                          i * layout.row + j * problem.bias.column];
}

// The part of a problem that a block works on: a query per warp.
template <class Stored>
struct QueryBlock {
  const AttentionProblem& problem;
  HeadRows<Stored> queries;
  HeadRows<Stored> keys;
  int64_t b;
  int64_t h;
  int64_t first;      // query of the first warp
  KeyRange tiles;     // of keys that any of the queries sees
  bool done = false;  // of the warp: its query is none of the block's

  __device__ int64_t own_query() const { return first + warp_index(); }
  __device__ bool exists() const { return own_query() < problem.queries && !done; }
  __device__ int64_t own_row() const { return (b * problem.heads + h) * problem.queries + own_query(); }
  __device__ int64_t key_head() const { return h / (problem.heads / problem.key_heads); }
};

__device__ inline int64_t blocks_per_head(const AttentionProblem& problem) {
  return (problem.queries + kBlockWarps - 1) / kBlockWarps;
}

// Of this block of threads.
template <class Stored>
__device__ QueryBlock<Stored> own_query_block(const AttentionProblem& problem, const void* query,
                                              const void* key) {
  const int64_t blocks = blocks_per_head(problem);
  const int64_t head = blockIdx.x / blocks;
  const int64_t b = head / problem.heads;
  const int64_t h = head % problem.heads;
  const int64_t key_head = h / (problem.heads / problem.key_heads);
  const int64_t first = blockIdx.x % blocks * kBlockWarps;
  const int64_t last = smaller(first + kBlockWarps, problem.queries) - 1;
  // Both ends rise with the query.
  const KeyRange all{visible_keys(problem, b, first).begin, visible_keys(problem, b, last).end};
  KeyRange tiles{0, 0};
  if (all.begin < all.end) tiles = {all.begin / kTileKeys, (all.end - 1) / kTileKeys + 1};
  return {problem,
          head_rows<Stored>(query, problem.query, b, h, problem.queries, problem.width),
          head_rows<Stored>(key, problem.key, b, key_head, problem.keys, problem.width),
          b,
          h,
          first,
          tiles};
}

// The whole block comes here: it meets at barriers. Warps whose query is not `wanted` see no key. visit() may
// use operations of the warp; after(tile) is called by the whole block and may use barriers, its result goes
// to visit().
template <class Stored, class M, class After, class Visit>
__device__ void sweep_scores_and(const QueryBlock<Stored>& block, TileMemory<M>& memory, bool wanted,
                                 After after, Visit visit) {
  const AttentionProblem& problem = block.problem;
  const bool has_lists = problem.lists.row_offsets != nullptr;
  KeyRange own{0, 0};
  ListedKeys list;
  if (wanted && block.exists()) {
    own = visible_keys(problem, block.b, block.own_query());
    if (has_lists) list = listed_keys(problem, block.b, block.h, block.own_query());
  }
  TileWalk walk(own, block.tiles, list, memory.next_tiles);
  while (walk.advance(has_lists)) {
    const int first = walk.tile() * kTileKeys;
    const M product = tile_product(block.queries, block.first, block.keys, first, memory);
    const auto result = after(first);
    const int j = first + lane_index();
    M score = -kInfinity<M>;
    if (walk.sees()) score = score_of(problem, block.b, block.h, block.own_query(), j, product);
    visit(j, score, result);
  }
}

template <class Stored, class M, class Visit>
__device__ void sweep_scores(const QueryBlock<Stored>& block, TileMemory<M>& memory, bool wanted,
                             Visit visit) {
  sweep_scores_and(
      block, memory, wanted, [](int) { return 0; }, [&](int j, M score, int) { visit(j, score); });
}

}  // namespace giantrabbit::ops::cuda
