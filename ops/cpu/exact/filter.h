// Stage "filter": low-precision scores of a block of queries against blocks of keys, compared with what the
// bounds demand while they are in registers. Codes and bounds in; one bit per query and key out, set where
// the key may have a weight. Invariant: a bit that is not set belongs to a key that is not visible or whose
// score is at or below the row's bound (Note [Exact by bounds]).
#pragma once

#include "ops/cpu/exact/quantise.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// Rows and vectors of a tile: as many sums as the registers hold beside the keys and a query.
#if defined(__AMX_INT8__)
constexpr int64_t kFilterRows = 16;
constexpr int64_t kFilterVectors = 4;
#elif defined(__AVX512F__)
constexpr int64_t kFilterRows = 6;
constexpr int64_t kFilterVectors = 4;
#elif defined(__AVX2__)
constexpr int64_t kFilterRows = 6;
constexpr int64_t kFilterVectors = 2;
#else
constexpr int64_t kFilterRows = 4;
constexpr int64_t kFilterVectors = 2;
#endif
static_assert(exact::kBlockQueries % kFilterRows == 0);
constexpr int64_t kFilterKeys = kFilterVectors * kLanes;  // of a tile; their bits are one Piece
constexpr int64_t kFilterPieces = exact::kBlockKeys / kFilterKeys;

#if defined(__AVX512VNNI__)
using Sum = Vec<int32_t>;
// Four unsigned bytes of a key times four signed bytes of a query. As assembly, because GCC 12 keeps the
// tile's sums in memory when it sees the intrinsic.
inline void multiply_add(Sum& sum, const Sum& keys, const Sum& query) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(keys), "v"(query));
}
inline Sum broadcast_step(const uint32_t* step) {
  return (Sum)_mm512_set1_epi32(static_cast<int32_t>(*step));
}
inline uint64_t bits_of_larger(Sum sums, int32_t limit) {
  return _mm512_cmpgt_epi32_mask((__m512i)sums, _mm512_set1_epi32(limit));
}
#else
using Sum = Vec<float>;
inline void multiply_add(Sum& sum, const Sum& keys, const Sum& query) { sum += keys * query; }
inline Sum broadcast_step(const uint32_t* step) {
  float value;
  __builtin_memcpy(&value, step, sizeof(value));
  return broadcast(value);
}
inline uint64_t bits_of_larger(Sum sums, int32_t limit) {
  float value;
  __builtin_memcpy(&value, &limit, sizeof(value));
  return bits_above(sums, broadcast(value));
}
#endif

#if defined(__AMX_INT8__)
// The tile registers: 0..3 hold 16 x 64 sums, 4 the queries' codes, 5 the keys'. They are a thread's own
// while a session lives.
class TileSession {
 public:
  TileSession() {
    alignas(64) uint8_t config[64] = {};
    config[0] = 1;  // palette
    for (int tile = 0; tile < 6; ++tile) {
      config[16 + 2 * tile] = 64;  // bytes per row
      config[48 + tile] = 16;      // rows
    }
    _tile_loadconfig(config);
  }
  ~TileSession() { _tile_release(); }
  TileSession(const TileSession&) = delete;
  TileSession& operator=(const TileSession&) = delete;
};

template <class Epilogue>
inline void score_tile(const uint32_t* keys, const uint32_t* queries, int64_t steps,
                       const Epilogue& epilogue) {
  constexpr int64_t kKeyStride = exact::kBlockKeys * sizeof(uint32_t);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t step = 0; step < steps; step += 16) {
    const uint32_t* from = keys + step * exact::kBlockKeys;
    _tile_loadd(4, queries + step, steps * static_cast<int64_t>(sizeof(uint32_t)));
    _tile_loadd(5, from, kKeyStride);
    _tile_dpbsud(0, 4, 5);
    _tile_loadd(5, from + 16, kKeyStride);
    _tile_dpbsud(1, 4, 5);
    _tile_loadd(5, from + 32, kKeyStride);
    _tile_dpbsud(2, 4, 5);
    _tile_loadd(5, from + 48, kKeyStride);
    _tile_dpbsud(3, 4, 5);
  }
  alignas(64) int32_t sums[kFilterRows][exact::kBlockKeys];
  _tile_stored(0, sums[0], kKeyStride);
  _tile_stored(1, sums[0] + 16, kKeyStride);
  _tile_stored(2, sums[0] + 32, kKeyStride);
  _tile_stored(3, sums[0] + 48, kKeyStride);
  for (int64_t i = 0; i < kFilterRows; ++i) {
    Sum row[kFilterVectors];
    __builtin_memcpy(row, sums[i], sizeof(row));
    epilogue(i, row);
  }
}
#else
struct TileSession {
  TileSession() {}  // nothing to hold; declared so that an unused session is no unused variable
};

template <class Epilogue>
inline void score_tile(const uint32_t* keys, const uint32_t* queries, int64_t steps,
                       const Epilogue& epilogue) {
  Sum sums[kFilterRows][kFilterVectors] = {};
#pragma GCC unroll 1
  for (int64_t step = 0; step < steps; ++step, keys += exact::kBlockKeys) {
    Sum key[kFilterVectors];
#pragma GCC unroll 8
    for (int64_t j = 0; j < kFilterVectors; ++j) __builtin_memcpy(&key[j], keys + j * kLanes, sizeof(Sum));
#pragma GCC unroll 8
    for (int64_t i = 0; i < kFilterRows; ++i) {
      const Sum query = broadcast_step(queries + i * steps + step);
#pragma GCC unroll 8
      for (int64_t j = 0; j < kFilterVectors; ++j) multiply_add(sums[i][j], key[j], query);
    }
  }
#pragma GCC unroll 8
  for (int64_t i = 0; i < kFilterRows; ++i) epilogue(i, sums[i]);
}
#endif

// The keys of a block that a query may see.
inline uint64_t visible_keys(const exact::QueryRows& rows, int64_t i, int64_t block) {
  const int64_t first = block * exact::kBlockKeys;
  const int64_t begin = rows.begin[i] - first;
  const int64_t end = rows.end[i] - first;
  if (begin >= exact::kBlockKeys || end <= 0 || begin >= end) return 0;
  uint64_t word = kAllKeys;
  if (begin > 0) word &= kAllKeys << begin;
  if (end < exact::kBlockKeys) word &= ~(kAllKeys << end);
  if (rows.listed != nullptr) word &= rows.listed[i * rows.listed_blocks + block];
  return word;
}

// Bound of |score - low-precision score| for a query and the keys of a block.
inline float score_error(const exact::QueryRows& rows, int64_t i, const exact::KeyCodes& keys,
                         int64_t block) {
  return rows.norm[i] * keys.error[block] + rows.error[i] * keys.norm[block];
}

inline int64_t pass_block(const exact::Pass& pass, int64_t b) {
  return pass.first + b + (b < pass.left ? 0 : pass.gap);
}

// What a sum of codes must exceed for a score above the bound. Rounded down by more than the rounding of this
// computation: 2e-6 of the number, and 1 for what cancels in bound - error.
inline void set_limits(const exact::KeyCodes& keys, const exact::QueryRows& rows, int64_t i, int64_t first,
                       int64_t count, int32_t* limits) {
  for (int64_t b = 0; b < count; ++b) {
    float limit = rows.bound[i] - score_error(rows, i, keys, first + b);
    if (kIntegerProducts) {
      // The product of two inverses may be infinite. Sums of codes stay inside the clamps; NaN keeps the key.
      limit *= rows.inverse[i] * keys.inverse[first + b];
      limit = limit > -1e9f ? limit : -1e9f;
      limit = limit < 1e9f ? limit : 1e9f;
      limit -= __builtin_fabsf(limit) * 2e-6f;
      limits[b] = static_cast<int32_t>(__builtin_floorf(limit)) - 1 + rows.offset[i];
    } else {
      limit -= __builtin_fabsf(limit) * 2e-6f;
      __builtin_memcpy(limits + b, &limit, sizeof(limit));
    }
  }
}

// Clears the bits of keys that a query may not see, in the words of blocks first .. first + count - 1. Blocks
// that it sees whole are skipped.
inline void hide_keys(const exact::QueryRows& rows, int64_t i, uint64_t* words, int64_t first,
                      int64_t count) {
  int64_t whole_begin = (rows.begin[i] + exact::kBlockKeys - 1) / exact::kBlockKeys - first;
  int64_t whole_end = rows.end[i] / exact::kBlockKeys - first;
  if (rows.listed != nullptr || whole_begin >= whole_end) whole_begin = whole_end = count;
  for (int64_t b = 0; b < count; ++b) {
    if (b >= whole_begin && b < whole_end) {
      b = whole_end - 1;
      continue;
    }
    words[b] &= visible_keys(rows, i, first + b);
  }
}

// The keys that some row of a tile may see.
struct TileRange {
  int64_t begin;
  int64_t end;
};

inline TileRange tile_range(const exact::QueryRows& rows, int64_t first_row) {
  TileRange range{INT32_MAX, 0};
  for (int64_t i = first_row; i < first_row + kFilterRows && i < rows.rows; ++i) {
    if (rows.begin[i] >= rows.end[i]) continue;
    range.begin = rows.begin[i] < range.begin ? rows.begin[i] : range.begin;
    range.end = rows.end[i] > range.end ? rows.end[i] : range.end;
  }
  return range;
}

inline bool tile_sees(const TileRange& range, int64_t block) {
  return range.begin < (block + 1) * exact::kBlockKeys && range.end > block * exact::kBlockKeys;
}

inline void filter_tile(const exact::KeyCodes& keys, const exact::QueryRows& rows, const exact::Pass& pass,
                        int64_t first_row, int64_t b) {
  const uint32_t* codes = keys.codes + pass_block(pass, b) * keys.steps * exact::kBlockKeys;
  const int32_t* limits = pass.limits + first_row * exact::kLimitStride + b;
  uint64_t* words = pass.words + first_row * exact::kWordStride + b;
#pragma GCC unroll 1
  for (int64_t piece = 0; piece < kFilterPieces; ++piece) {
    score_tile(
        codes + piece * kFilterKeys, rows.codes + first_row * keys.steps,
        keys.steps, [&](int64_t i, const Sum* sums) __attribute__((always_inline)) {
          uint64_t bits = 0;
#pragma GCC unroll 8
          for (int64_t j = 0; j < kFilterVectors; ++j) {
            bits |= bits_of_larger(sums[j], limits[i * exact::kLimitStride]) << (j * kLanes);
          }
          uint64_t& word = words[i * exact::kWordStride];
          word = piece == 0 ? bits : word | bits << (piece * kFilterKeys % exact::kBlockKeys);
        });
  }
}

inline void filter(const exact::KeyCodes& keys, const exact::QueryRows& rows, const exact::Pass& pass) {
  for (int64_t i = 0; i < rows.rows; ++i) {
    int32_t* limits = pass.limits + i * exact::kLimitStride;
    set_limits(keys, rows, i, pass.first, pass.left, limits);
    set_limits(keys, rows, i, pass.first + pass.left + pass.gap, pass.count - pass.left, limits + pass.left);
  }
  const TileSession session;
  static_cast<void>(session);
  TileRange ranges[exact::kBlockQueries / kFilterRows];
  for (int64_t i = 0; i < rows.rows; i += kFilterRows) ranges[i / kFilterRows] = tile_range(rows, i);
  for (int64_t b = 0; b < pass.count; ++b) {
    for (int64_t i = 0; i < rows.rows; i += kFilterRows) {
      if (tile_sees(ranges[i / kFilterRows], pass_block(pass, b))) filter_tile(keys, rows, pass, i, b);
    }
  }
  for (int64_t i = 0; i < rows.rows; ++i) {
    uint64_t* words = pass.words + i * exact::kWordStride;
    hide_keys(rows, i, words, pass.first, pass.left);
    hide_keys(rows, i, words + pass.left, pass.first + pass.left + pass.gap, pass.count - pass.left);
  }
}

inline int64_t count_marked(const exact::QueryRows& rows, const exact::Pass& pass, int64_t first,
                            int64_t end) {
  int64_t count = 0;
  for (int64_t i = first; i < end; ++i) {
    const uint64_t* words = pass.words + i * exact::kWordStride;
    int64_t marked = 0;
    for (int64_t b = 0; b < pass.count; ++b) marked += __builtin_popcountll(words[b]);
    pass.marked[i] = static_cast<int32_t>(marked);
    if (rows.bound[i] != -kFloatInfinity) count += marked;
  }
  return count;
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
