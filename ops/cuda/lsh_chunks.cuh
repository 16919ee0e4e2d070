// What hashing makes of the positions of a head, and a block's way through it: eight rows of one chunk, one
// per warp, against all rows of other chunks, which pass through shared memory in tiles, one per lane. In: an
// LSH problem. Out: products of rows, and calls of visit(other row, place). Products are sums in the order of
// the columns, by fused multiply-adds: the same bits in every round, whichever of the two rows is the block's
// own.
#pragma once

#include "ops/cuda/device.cuh"
#include "ops/cuda/lsh_kernels.h"
#include "ops/cuda/weighted_rows.cuh"

namespace giantrabbit::ops::cuda {

constexpr int kNobody = -1;  // the position of padding
constexpr int kLshTileRows = kWarp;
constexpr int kLshTileColumns = 64;
constexpr int kLshTilePitch = kLshTileColumns + 1;  // lanes read one column of neighbouring rows
constexpr int kLshBlocks = 2;  // per multiprocessor: left alone, ptxas aims at more and spills registers

// Chunks of all rounds in a circle, see LshChunks in ops/cpu/lsh_problem.h.
struct LshCircle {
  int chunk_length;
  int per_round;
  int total;
  int before;  // chunks that a chunk sees before itself
  int window;  // chunks that it sees; in a small circle each once

  // Chunk `part` of the window of `chunk`, and of the chunks that see `chunk`.
  __device__ int seen(int chunk, int part) const { return wrapped(int64_t{chunk} - before + part); }
  __device__ int seen_by(int chunk, int part) const { return wrapped(int64_t{chunk} + before - part); }
  // The part of the window of `chunk` that `other` is, from 0 on; at least `window`: none.
  __device__ int part(int chunk, int other) const { return wrapped(int64_t{other} - chunk + before); }

 private:
  // From -total on, and below 2 * total.
  __device__ int wrapped(int64_t chunk) const {
    if (chunk < 0) chunk += total;
    return static_cast<int>(chunk < total ? chunk : chunk - total);
  }
};

// Invalid (total 0) where a number of chunks is too large.
inline LshCircle circle_of(const LshProblem& problem) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const auto least = [](int64_t a, int64_t b) { return a < b ? a : b; };
  const int64_t chunk_length = least(problem.chunk_length, problem.length);
  const int64_t per_round = ceil_div(problem.length, chunk_length);
  if (problem.rounds > kMost / per_round) return {};
  const int64_t total = problem.rounds * per_round;
  const int64_t before = least(problem.chunks_before, total);
  const int64_t window = least(before + 1 + least(problem.chunks_after, total), total);
  return {static_cast<int>(chunk_length), static_cast<int>(per_round), static_cast<int>(total),
          static_cast<int>(least(before, window - 1)), static_cast<int>(window)};
}

inline bool is_valid(const LshProblem& problem) {
  return problem.batch >= 0 && problem.heads >= 0 && problem.length > 0 &&
         problem.length < std::numeric_limits<int32_t>::max() && problem.width >= 0 &&
         problem.value_width >= 0 && problem.rounds > 0 && problem.chunk_length > 0 &&
         problem.chunks_before >= 0 && problem.chunks_after >= 0 && circle_of(problem).total > 0;
}

// Rows of one head.
template <class Stored>
struct LshRows {
  const Stored* data;
  int64_t row;
  int64_t width;

  __device__ const Stored* row_at(int64_t position) const { return data + position * row; }
  __device__ Math<Stored> at(int64_t position, int64_t column) const {
    return widened(row_at(position)[column]);
  }
};

template <class Stored>
__device__ LshRows<Stored> rows_of_head(const Stored* data, const HeadsLayout& layout, int64_t width,
                                        const LshProblem& problem, int64_t head) {
  return {data + head / problem.heads * layout.batch + head % problem.heads * layout.head, layout.row, width};
}

// The positions of one head in their chunks.
struct LshHead {
  const LshProblem& problem;
  const LshCircle& circle;
  const int64_t* order;  // [rounds, length]
  const bool* valid;     // [length], or null

  __device__ LshHead(const LshProblem& of, const LshCircle& chunks, int64_t head)
      : problem(of),
        circle(chunks),
        order(of.order + head * of.rounds * of.length),
        valid(of.valid == nullptr ? nullptr : of.valid + head / of.heads * of.length) {}

  __device__ bool exists(int64_t position) const { return valid == nullptr || valid[position]; }

  __device__ int position(int chunk, int slot) const {
    const int64_t place = int64_t{chunk % circle.per_round} * circle.chunk_length + slot;
    if (slot >= circle.chunk_length || place >= problem.length) return kNobody;
    const int64_t found = order[chunk / circle.per_round * problem.length + place];
    return exists(found) ? static_cast<int>(found) : kNobody;
  }

  __device__ bool sees(int query, int key) const {
    return query != kNobody && key != kNobody && (!problem.causal || key <= query) &&
           !(problem.exclude_self && key == query);
  }
};

// Adds a row and a weight per lane, in the order of the lanes; rows without weight are not read.
template <class M, class Stored>
__device__ void add_lanes(ColumnSums<M>& columns, const LshRows<Stored>& rows, int position, M weight) {
  const auto row_at = [&](int lane) { return rows.row_at(__shfl_sync(kAllLanes, position, lane)); };
  columns.add_lanes(row_at, rows.width, weight);
}

template <class M>
struct LshTileMemory {
  M others[kLshTileRows * kLshTilePitch];
  M own[kBlockWarps * kLshTileColumns];
  int others_at[kLshTileRows];  // positions
  int own_at[kBlockWarps];
};

// Eight places of one chunk.
template <class M>
class LshBlock {
 public:
  __device__ LshBlock(const LshHead& head, int chunk, int first_slot, LshTileMemory<M>& memory)
      : head_(head), chunk_(chunk), memory_(memory), own_(head.position(chunk, first_slot + warp_index())) {
    if (lane_index() == 0) memory_.own_at[warp_index()] = own_;
  }

  __device__ int own() const { return own_; }  // position of the warp's row
  __device__ int chunk() const { return chunk_; }

  // visit(position, place in the window) for every place of the chunks chunk_of(part), a place per lane;
  // lanes past the end bring kNobody. The whole block comes here, and visit may meet at barriers.
  template <class ChunkOf, class Visit>
  __device__ void for_each_place(ChunkOf chunk_of, Visit visit) {
    const int length = head_.circle.chunk_length;
    const int64_t places = int64_t{head_.circle.window} * length;
    for (int64_t first = 0; first < places; first += kLshTileRows) {
      const int64_t place = first + lane_index();
      const int other = place < places ? head_.position(chunk_of(static_cast<int>(place / length)),
                                                        static_cast<int>(place % length))
                                       : kNobody;
      // Everybody has left the loads of the tile before, and reads this behind the next barrier.
      if (warp_index() == 0) memory_.others_at[lane_index()] = other;
      visit(other, place);
    }
  }

  // The warp's own row times every lane's. Padding counts as zeros. The whole block comes here.
  template <class Stored>
  __device__ M product(const LshRows<Stored>& own, const LshRows<Stored>& others) {
    M sum = M(0);
    for (int64_t first = 0; first < own.width; first += kLshTileColumns) {
      __syncthreads();  // everybody has read the round before
      load(own, first, memory_.own_at, kBlockWarps, memory_.own, kLshTileColumns);
      load(others, first, memory_.others_at, kLshTileRows, memory_.others, kLshTilePitch);
      __syncthreads();
      const M* const row = memory_.own + warp_index() * kLshTileColumns;
      const M* const other = memory_.others + lane_index() * kLshTilePitch;
#pragma unroll 8
      for (int column = 0; column < kLshTileColumns; ++column) sum = fused(row[column], other[column], sum);
    }
    return sum;
  }

 private:
  template <class Stored>
  __device__ static void load(const LshRows<Stored>& rows, int64_t first, const int* positions, int count,
                              M* to, int pitch) {
    const int column = static_cast<int>(threadIdx.x) % kLshTileColumns;
    const bool exists = first + column < rows.width;
    for (int row = static_cast<int>(threadIdx.x) / kLshTileColumns; row < count;
         row += kBlockThreads / kLshTileColumns) {
      const int position = positions[row];
      to[row * pitch + column] = exists && position != kNobody ? rows.at(position, first + column) : M(0);
    }
  }

  const LshHead& head_;
  int chunk_;
  LshTileMemory<M>& memory_;
  int own_;
};

// Which rows a block of the grid works on: `chunks` chunks of every head, eight places at a time.
struct LshPlace {
  int64_t head;
  int chunk;
  int first_slot;
};
__device__ inline LshPlace lsh_place(const LshCircle& circle, int chunks) {
  const int groups = (circle.chunk_length + kBlockWarps - 1) / kBlockWarps;
  const int chunk = static_cast<int>(blockIdx.x) / groups;
  return {chunk / chunks, chunk % chunks, static_cast<int>(blockIdx.x) % groups * kBlockWarps};
}
inline int64_t lsh_blocks(const LshCircle& circle, int64_t chunks, int64_t heads) {
  return heads * chunks * ceil_div(circle.chunk_length, kBlockWarps);
}

}  // namespace giantrabbit::ops::cuda
