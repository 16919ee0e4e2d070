// Which keys a query sees: a range, and of that, where a mask has lists, the listed keys. In: an attention
// problem. Out: ranges, the tiles of keys that a block has to visit, and whether a key is seen. Numbers on
// the device that are out of range give empty ranges; none of them is followed.
#pragma once

#include "ops/cuda/device.cuh"

namespace giantrabbit::ops::cuda {

constexpr int kTileKeys = kWarp;

struct KeyRange {
  int begin;
  int end;
};

__device__ inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
__device__ inline int64_t larger(int64_t a, int64_t b) { return a < b ? b : a; }
__device__ inline int64_t clamped(int64_t value, int64_t least, int64_t most) {
  return smaller(larger(value, least), most);
}

// The keys that query i of sequence b sees by every rule but the lists; begin >= end if none.
__device__ inline KeyRange visible_keys(const AttentionProblem& problem, int64_t b, int64_t i) {
  const int64_t aligned = i + problem.keys - problem.queries;
  int64_t begin = 0;
  int64_t end = problem.keys;
  if (problem.key_lengths != nullptr) end = smaller(end, problem.key_lengths[b]);
  if (problem.causal) end = smaller(end, aligned + 1);
  if (problem.window > 0) {
    begin = larger(begin, aligned - problem.window + 1);
    end = smaller(end, aligned + problem.window);
  }
  return {static_cast<int>(begin), static_cast<int>(larger(end, 0))};
}

// One row of the lists.
struct ListedKeys {
  const int64_t* indices = nullptr;
  int count = 0;
  int64_t columns = 1;  // keys per index
  int64_t keys = 0;

  // The keys of an index; past the last key if there is none.
  __device__ int64_t first_key(int at) const { return clamped(indices[at], 0, keys) * columns; }
};

__device__ inline ListedKeys listed_keys(const AttentionProblem& problem, int64_t b, int64_t h, int64_t i) {
  const MaskLists& lists = problem.lists;
  const int64_t* const offset = lists.row_offsets + b * lists.batch + h * lists.head + i / lists.block_rows;
  const int64_t begin = clamped(offset[0], 0, lists.count);
  const int64_t end = clamped(offset[1], begin, lists.count);
  return {lists.key_indices + begin, static_cast<int>(smaller(end - begin, problem.keys)),
          lists.block_columns, problem.keys};
}

// Indices that begin before `key`, from the first on.
__device__ inline int indices_before(const ListedKeys& list, int64_t key) {
  int begin = 0;
  int end = list.count;
  while (begin < end) {
    const int middle = begin + (end - begin) / 2;
    if (list.first_key(middle) < key) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

__device__ inline bool lists_permit(const AttentionProblem& problem, int64_t b, int64_t h, int64_t i,
                                    int64_t key) {
  if (problem.lists.row_offsets == nullptr) return true;
  const ListedKeys list = listed_keys(problem, b, h, i);
  const int before = indices_before(list, key + 1);
  return before > 0 && key < list.first_key(before - 1) + list.columns;
}

// The tiles that a block visits, from the last to the first: with causal masks the nearest keys come first,
// which raises bounds soonest. Each warp asks for a query of its own.
class TileWalk {
 public:
  // `own`: keys of the warp's query, empty if it wants none. `tiles`: from the first to behind the last tile
  // that any query of the block sees. `next_tiles`: shared memory, a number per warp.
  __device__ TileWalk(KeyRange own, KeyRange tiles, const ListedKeys& list, int* next_tiles)
      : own_(own), tile_(tiles.end), first_(tiles.begin), list_(list), next_tiles_(next_tiles) {
    left_ = list_.indices != nullptr ? indices_before(list_, own_.end) : 0;
    if (own_.begin >= own_.end) left_ = 0;
  }

  // Moves to the next tile; false if there is none. With lists the block meets at barriers.
  __device__ bool advance(bool has_lists) {
    tile_ = has_lists ? next_listed_tile() : tile_ - 1;
    if (tile_ < first_) return false;
    const int j = tile_ * kTileKeys + lane_index();
    sees_ = own_.begin <= j && j < own_.end;
    if (has_lists) {
      const unsigned listed = take_tile();  // all lanes come here
      sees_ = sees_ && (listed >> lane_index() & 1U) != 0;
    }
    return true;
  }

  __device__ int tile() const { return tile_; }
  __device__ bool sees() const { return sees_; }  // the lane's key of the tile

 private:
  // The last tile before this one in which a list of the block has a key.
  __device__ int next_listed_tile() {
    int64_t last = -1;
    if (left_ > 0) {
      last =
          smaller(list_.first_key(left_ - 1) + list_.columns, smaller(own_.end, int64_t{tile_} * kTileKeys)) -
          1;
      if (last < own_.begin) last = -1;
    }
    if (lane_index() == 0) next_tiles_[warp_index()] = last < 0 ? -1 : static_cast<int>(last / kTileKeys);
    __syncthreads();
    int next = next_tiles_[0];
    for (int warp = 1; warp < kBlockWarps; ++warp) next = next_tiles_[warp] > next ? next_tiles_[warp] : next;
    __syncthreads();  // the next call writes there again
    return next;
  }

  // A bit per listed key of the tile. Keys of different indices differ, so 32 indices reach through a tile.
  __device__ unsigned take_tile() {
    const int64_t first = int64_t{tile_} * kTileKeys;
    const int at = left_ - 1 - lane_index();
    const int64_t key = at >= 0 ? list_.first_key(at) : 0;
    const int64_t begin = larger(key, first);
    const int64_t end = at >= 0 ? smaller(key + list_.columns, first + kTileKeys) : 0;
    const unsigned bits = begin < end ? (kAllLanes >> (kTileKeys - (end - begin))) << (begin - first) : 0U;
    left_ -= __popc(__ballot_sync(kAllLanes, at >= 0 && key >= first));
    return __reduce_add_sync(kAllLanes, bits);
  }

  KeyRange own_;
  int tile_;
  int first_;
  ListedKeys list_;
  int left_;  // indices that begin before the tiles visited so far
  int* next_tiles_;
  bool sees_ = false;
};

}  // namespace giantrabbit::ops::cuda
