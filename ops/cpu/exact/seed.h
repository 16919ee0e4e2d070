// Stage "seed": low-precision scores of the first blocks of keys, stored, so that every row gets a bound to
// begin with. Codes in; bounds and a word of marked keys per row and block out. Invariant: as in filter.h.
#pragma once

#include "ops/cpu/exact/filter.h"
#include "ops/cpu/exact/threshold.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

constexpr int64_t kSeedKeys = exact::kSeedBlocks * exact::kBlockKeys;

struct SeedScores {
  alignas(64) float lower[kFilterRows][kSeedKeys];  // proven lower bounds of the scores
};

#if defined(__AVX512VNNI__)
inline Vec<float> lower_scores(Sum sums, int32_t offset, float scale, float error) {
  const __m512i codes = _mm512_sub_epi32((__m512i)sums, _mm512_set1_epi32(offset));
  return (Vec<float>)_mm512_cvtepi32_ps(codes) * scale - error;
}
#else
inline Vec<float> lower_scores(Sum sums, int32_t /*offset*/, float scale, float error) {
  return sums * scale - error;
}
#endif

inline void seed_tile(const exact::KeyCodes& keys, const exact::QueryRows& rows, const exact::Pass& pass,
                      int64_t first_row, int64_t b, SeedScores& scores) {
  const int64_t block = pass.first + b;
  const uint32_t* codes = keys.codes + block * keys.steps * exact::kBlockKeys;
  float scale[kFilterRows];
  float error[kFilterRows];
  int32_t offset[kFilterRows];
  for (int64_t i = 0; i < kFilterRows; ++i) {
    const int64_t row = first_row + i < rows.rows ? first_row + i : rows.rows - 1;
    scale[i] = rows.scale[row] * keys.scale[block];
    error[i] = score_error(rows, row, keys, block);
    offset[i] = rows.offset[row];
  }
#pragma GCC unroll 1
  for (int64_t piece = 0; piece < kFilterPieces; ++piece) {
    const int64_t first_key = b * exact::kBlockKeys + piece * kFilterKeys;
    score_tile(
        codes + piece * kFilterKeys, rows.codes + first_row * keys.steps,
        keys.steps, [&](int64_t i, const Sum* sums) __attribute__((always_inline)) {
#pragma GCC unroll 8
          for (int64_t j = 0; j < kFilterVectors; ++j) {
            store(scores.lower[i] + first_key + j * kLanes,
                  lower_scores(sums[j], offset[i], scale[i], error[i]));
          }
        });
  }
}

// The threshold of the largest scores of 64 lanes of keys: different keys, so a lower bound of the row's.
template <exact::Rule rule>
inline float lane_bound(const Vec<float>* lanes) {
  constexpr float kReach = rule == exact::Rule::sparsemax ? 1.0f : 2.0f;
  Vec<float> best = lanes[0];
#pragma GCC unroll 16
  for (int64_t v = 1; v < kBlockVectors; ++v) best = larger(best, lanes[v]);
  const float maximum = lane_maximum(best);
  if (maximum == -kFloatInfinity) return maximum;
  float near[exact::kBlockKeys + kShortList + kLanes];
  int64_t count = 0;
#pragma GCC unroll 16
  for (int64_t v = 0; v < kBlockVectors; ++v) {
    count += compress(near + count, lanes[v], bits_above(lanes[v], broadcast(maximum - kReach)));
  }
  return list_threshold<rule>(near, count).bound;
}

template <exact::Rule rule>
inline void seed_row(const exact::KeyCodes& keys, const exact::QueryRows& rows, const exact::Pass& pass,
                     int64_t i, const float* lower) {
  uint64_t* words = pass.words + i * exact::kPassBlocks;
  Vec<float> lanes[kBlockVectors];
#pragma GCC unroll 16
  for (int64_t v = 0; v < kBlockVectors; ++v) lanes[v] = broadcast(-kFloatInfinity);
  for (int64_t b = 0; b < pass.count; ++b) {
    words[b] = visible_keys(rows, i, pass.first + b);
#pragma GCC unroll 16
    for (int64_t v = 0; v < kBlockVectors; ++v) {
      const Vec<float> scores = load(lower + b * exact::kBlockKeys + v * kLanes);
      lanes[v] =
          larger(lanes[v], words[b] == kAllKeys ? scores : keep_lanes(scores, words[b] >> (v * kLanes)));
    }
  }
  rows.bound[i] = lane_bound<rule>(lanes);
  for (int64_t b = 0; b < pass.count; ++b) {
    const float cut = rows.bound[i] - 2.0f * score_error(rows, i, keys, pass.first + b);
    const Vec<float> limit = broadcast(cut - __builtin_fabsf(cut) * 2e-6f);
    uint64_t bits = 0;
#pragma GCC unroll 16
    for (int64_t v = 0; v < kBlockVectors; ++v) {
      bits |= bits_above(load(lower + b * exact::kBlockKeys + v * kLanes), limit) << (v * kLanes);
    }
    words[b] &= bits;
  }
}

inline void seed(const exact::KeyCodes& keys, const exact::QueryRows& rows, const exact::Pass& pass) {
  const TileSession session;
  static_cast<void>(session);
  SeedScores scores;
  for (int64_t first = 0; first < rows.rows; first += kFilterRows) {
    const TileRange range = tile_range(rows, first);
    for (int64_t b = 0; b < pass.count; ++b) {
      if (tile_sees(range, pass.first + b)) seed_tile(keys, rows, pass, first, b, scores);
    }
    for (int64_t i = first; i < first + kFilterRows && i < rows.rows; ++i) {
      if (rows.rule == exact::Rule::sparsemax) {
        seed_row<exact::Rule::sparsemax>(keys, rows, pass, i, scores.lower[i - first]);
      } else {
        seed_row<exact::Rule::entmax15>(keys, rows, pass, i, scores.lower[i - first]);
      }
    }
  }
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
