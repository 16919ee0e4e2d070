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
  alignas(64) float scale[kLanes];
  alignas(64) float error[kLanes];
  const int32_t* offset = rows.offset + first_row;
  store(scale, load(rows.scale + first_row) * keys.scale[block]);
  store(error,
        load(rows.norm + first_row) * keys.error[block] + load(rows.error + first_row) * keys.norm[block]);
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

// From a lower bound of a threshold to a better one, by the scores above it: their number, sum and sum of
// squares measured from the bound. The equation's left side is convex, so Newton's method stays below the
// solution.
template <exact::Rule rule>
inline float newton_rise(float count, float sum, float squares) {
  return rule == exact::Rule::sparsemax ? (sum - 1.0f) / count : (squares - __builtin_sqrtf(squares)) / sum;
}

// A lower bound of the threshold of the largest scores of 64 lanes of keys: different keys, so also one of
// the row's. Two steps of Newton's method, which stays below the solution, from the smallest threshold there
// is.
template <exact::Rule rule>
inline float seed_bound(const Vec<float>* lanes) {
  Vec<float> best = lanes[0];
#pragma GCC unroll 16
  for (int64_t v = 1; v < kBlockVectors; ++v) best = larger(best, lanes[v]);
  const float maximum = lane_maximum<float>(best);
  if (maximum == -kFloatInfinity) return maximum;
  float tau = -1.0f;
  for (int step = 0; step < 2; ++step) {
    Vec<float> sum{};
    Vec<float> squares{};
    int64_t count = 0;
#pragma GCC unroll 16
    for (int64_t v = 0; v < kBlockVectors; ++v) {
      const Vec<float> distance = (lanes[v] - maximum) * kScoreFactor<rule> - tau;
      const Vec<float> kept = larger(distance, Vec<float>{});
      if (rule == exact::Rule::sparsemax) count += __builtin_popcountll(bits_above(distance, Vec<float>{}));
      if (rule == exact::Rule::entmax15) squares += kept * kept;
      sum += kept;
    }
    tau += newton_rise<rule>(static_cast<float>(count), lane_total(sum),
                             rule == exact::Rule::sparsemax ? 0.0f : lane_total(squares));
  }
  return score_bound<rule>(maximum, __builtin_fabsf(maximum), tau);
}

// What the stored score of a key must exceed, per block: the bound less both errors, rounded down.
struct SeedLimits {
  alignas(16) float values[exact::kSeedBlocks];

  SeedLimits(const exact::KeyCodes& keys, const exact::QueryRows& rows, const exact::Pass& pass, int64_t i) {
    for (int64_t b = 0; b < exact::kSeedBlocks; ++b) {
      const int64_t block = b < pass.count ? pass.first + b : pass.first;
      const float limit = rows.bound[i] - 2.0f * score_error(rows, i, keys, block);
      values[b] = limit - __builtin_fabsf(limit) * 2e-6f;
    }
  }
};

// The lanes' threshold is sharp where few keys stand out. Where many would be marked, all of the row's scores
// give a sharper one: Michelot's (Newton's) iteration over the lower bounds, from the bound of the lanes.
template <exact::Rule rule>
inline float row_bound(const float* lower, const uint64_t* words, int64_t blocks, float bound) {
  constexpr int kSteps = 3;
  float relative = 0;  // to `bound`, so that nothing cancels
  for (int step = 0; step < kSteps; ++step) {
    Vec<float> sum{};
    Vec<float> squares{};
    int64_t count = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      for (int64_t v = 0; v < kBlockVectors; ++v) {
        const Vec<float> scores =
            keep_lanes(load(lower + b * exact::kBlockKeys + v * kLanes), words[b] >> (v * kLanes));
        const Vec<float> distance = (scores - bound) * kScoreFactor<rule> - relative;
        const Vec<float> kept = larger(distance, Vec<float>{});
        count += __builtin_popcountll(bits_above(distance, Vec<float>{}));
        squares += kept * kept;
        sum += kept;
      }
    }
    if (count == 0) break;
    const float rise = newton_rise<rule>(static_cast<float>(count), lane_total(sum), lane_total(squares));
    if (!(rise > 0.0f)) break;
    relative += rise;
  }
  const float raised = bound + relative / kScoreFactor<rule>;
  return raised - (1.0f + __builtin_fabsf(raised)) * 4e-6f;
}

// Takes the keys at or below the bound from the words. Returns how many are left.
inline int64_t mark_seed(const exact::KeyCodes& keys, const exact::QueryRows& rows, const exact::Pass& pass,
                         int64_t i, const float* lower) {
  uint64_t* words = pass.words + i * exact::kWordStride;
  const SeedLimits limits(keys, rows, pass, i);
  int64_t count = 0;
  for (int64_t b = 0; b < pass.count; ++b) {
    const Vec<float> limit = broadcast(limits.values[b]);
    uint64_t bits = 0;
#pragma GCC unroll 16
    for (int64_t v = 0; v < kBlockVectors; ++v) {
      bits |= bits_above(load(lower + b * exact::kBlockKeys + v * kLanes), limit) << (v * kLanes);
    }
    words[b] &= bits;
    count += __builtin_popcountll(words[b]);
  }
  return count;
}

constexpr int64_t kFewMarked = 32;

// `whole`: the row sees every key of the pass.
template <exact::Rule rule, bool whole>
inline void seed_row(const exact::KeyCodes& keys, const exact::QueryRows& rows, const exact::Pass& pass,
                     int64_t i, const float* lower) {
  uint64_t* words = pass.words + i * exact::kWordStride;
  Vec<float> lanes[kBlockVectors];
#pragma GCC unroll 16
  for (int64_t v = 0; v < kBlockVectors; ++v) lanes[v] = broadcast(-kFloatInfinity);
  for (int64_t b = 0; b < pass.count; ++b) {
    words[b] = whole ? kAllKeys : visible_keys(rows, i, pass.first + b);
#pragma GCC unroll 16
    for (int64_t v = 0; v < kBlockVectors; ++v) {
      const Vec<float> scores = load(lower + b * exact::kBlockKeys + v * kLanes);
      lanes[v] = larger(lanes[v], whole ? scores : keep_lanes(scores, words[b] >> (v * kLanes)));
    }
  }
  rows.bound[i] = seed_bound<rule>(lanes);
  if (mark_seed(keys, rows, pass, i, lower) <= kFewMarked) return;
  for (int64_t b = 0; b < pass.count; ++b) {
    words[b] = whole ? kAllKeys : visible_keys(rows, i, pass.first + b);
  }
  const float bound = row_bound<rule>(lower, words, pass.count, rows.bound[i]);
  rows.bound[i] = bound > rows.bound[i] ? bound : rows.bound[i];
  mark_seed(keys, rows, pass, i, lower);
}

inline bool sees_whole_pass(const exact::QueryRows& rows, const exact::Pass& pass, int64_t i) {
  return rows.listed == nullptr && rows.begin[i] <= pass.first * exact::kBlockKeys &&
         rows.end[i] >= (pass.first + pass.count) * exact::kBlockKeys;
}

template <exact::Rule rule>
inline void seed_rows(const exact::KeyCodes& keys, const exact::QueryRows& rows, const exact::Pass& pass,
                      int64_t begin, int64_t end) {
  const TileSession session;
  static_cast<void>(session);
  SeedScores scores;
  for (int64_t first = begin; first < end; first += kFilterRows) {
    const TileRange range = tile_range(rows, first);
    for (int64_t b = 0; b < pass.count; ++b) {
      if (tile_sees(range, pass.first + b)) seed_tile(keys, rows, pass, first, b, scores);
    }
    for (int64_t i = first; i < first + kFilterRows && i < end; ++i) {
      if (sees_whole_pass(rows, pass, i)) {
        seed_row<rule, true>(keys, rows, pass, i, scores.lower[i - first]);
      } else {
        seed_row<rule, false>(keys, rows, pass, i, scores.lower[i - first]);
      }
    }
  }
}

inline void seed(const exact::KeyCodes& keys, const exact::QueryRows& rows, const exact::Pass& pass,
                 int64_t first, int64_t end) {
  if (rows.rule == exact::Rule::sparsemax) {
    seed_rows<exact::Rule::sparsemax>(keys, rows, pass, first, end);
  } else {
    seed_rows<exact::Rule::entmax15>(keys, rows, pass, first, end);
  }
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
