// Stage "quantise": keys and queries in low precision with the norms that bound what that costs. Rows of fp32
// in; codes, scales and norms out. Where the machine has integer products a code is a byte, one scale per
// block of keys and per query; elsewhere it is the number itself and only rounding separates the two scores.
// The invariant is the bound in functions.h: see Note [Exact by bounds] in ops/cpu/exact/forward.cpp.
#pragma once

#include "ops/cpu/exact/vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

#if defined(__AVX512VNNI__)
constexpr bool kIntegerProducts = true;
constexpr int64_t kCoordinatesPerStep = 4;
#else
constexpr bool kIntegerProducts = false;
constexpr int64_t kCoordinatesPerStep = 1;
#endif
#if defined(__AMX_INT8__)
constexpr int64_t kStepMultiple = 16;
#else
constexpr int64_t kStepMultiple = 1;
#endif

constexpr float kRoundoff = 0x1p-24f;
// Norms are computed in fp32: their own rounding, and squares that underflow.
constexpr float kNormFactor = 1.0f + 2e-5f;
constexpr float kNormFloor = 1e-17f;
// Products of larger norms could overflow; such heads take the dense path.
constexpr float kLargestNorm = 1e18f;
// Numbers too small to divide by: their codes are 0 and the whole number counts as error.
constexpr float kSmallestMaximum = 1e-30f;

inline float bounded_norm(float sum_of_squares) {
  return __builtin_sqrtf(sum_of_squares) * kNormFactor + kNormFloor;
}

// What |q| is multiplied with to bound the rounding of both scores, per unit of the keys' norm.
inline float rounding_factor(int64_t width) {
  return static_cast<float>((kIntegerProducts ? 1 : 2) * width + 16) * kRoundoff;
}

struct Scale {
  float code;     // value of one unit
  float inverse;  // 1 / code
};

inline Scale code_scale(float maximum) {
  if (!kIntegerProducts || maximum < kSmallestMaximum) return {1.0f, 1.0f};
  return {maximum / 127.0f, 127.0f / maximum};
}

// Largest magnitude of a row; +infinity if a number in it is not finite.
inline float largest_magnitude(const float* row, int64_t width) {
  Vec<float> largest{};
  uint64_t finite = kAllKeys;
  for (int64_t k = 0; k < width; k += kLanes) {
    const Vec<float> values = load(row + k);
    const Vec<float> magnitudes = larger(values, -values);
    finite &= bits_above(broadcast(kFloatInfinity), magnitudes);
    largest = larger(largest, magnitudes);
  }
  constexpr uint64_t kEveryLane = kAllKeys >> (64 - kLanes);
  return (finite & kEveryLane) == kEveryLane ? lane_maximum<float>(largest) : kFloatInfinity;
}

#if defined(__AVX512VNNI__)
// Codes of 16 coordinates as bytes, and the squares they add to the norms.
inline __m128i code_bytes(Vec<float> values, Scale scale, Vec<float>& errors, Vec<float>& squares) {
  const __m512i codes = _mm512_cvtps_epi32((__m512)(values * scale.inverse));
  const Vec<float> decoded = (Vec<float>)_mm512_cvtepi32_ps(codes) * scale.code;
  const Vec<float> rest = values - decoded;
  errors += rest * rest;
  squares += decoded * decoded;
  return _mm512_cvtepi32_epi8(codes);
}

// The codes of one key, a step every 64 dwords; returns what they add to the norms.
inline void code_key(const float* key, int64_t width, Scale scale, uint32_t* codes, Vec<float>& errors,
                     Vec<float>& squares) {
  const __m128i offset = _mm_set1_epi8(static_cast<char>(0x80));
  for (int64_t k = 0; k < width; k += kLanes) {
    const __m128i bytes = _mm_xor_si128(code_bytes(load(key + k), scale, errors, squares), offset);
    alignas(16) uint32_t steps[4];
    _mm_store_si128(reinterpret_cast<__m128i*>(steps), bytes);
    for (int64_t step = 0; step < 4; ++step) codes[(k / 4 + step) * exact::kBlockKeys] = steps[step];
  }
}

inline void code_query(const float* query, int64_t width, Scale scale, uint32_t* codes, Vec<float>& sum,
                       Vec<float>& errors, Vec<float>& squares) {
  for (int64_t k = 0; k < width; k += kLanes) {
    const __m128i bytes = code_bytes(load(query + k), scale, errors, squares);
    __builtin_memcpy(codes + k / 4, &bytes, sizeof(bytes));
    sum += (Vec<float>)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }
}
#else
inline void code_key(const float* key, int64_t width, Scale /*scale*/, uint32_t* codes,
                     Vec<float>& /*errors*/, Vec<float>& squares) {
  for (int64_t k = 0; k < width; k += kLanes) squares += load(key + k) * load(key + k);
  for (int64_t k = 0; k < width; ++k) __builtin_memcpy(codes + k * exact::kBlockKeys, key + k, sizeof(float));
}

inline void code_query(const float* query, int64_t width, Scale /*scale*/, uint32_t* codes,
                       Vec<float>& /*sum*/, Vec<float>& /*errors*/, Vec<float>& squares) {
  for (int64_t k = 0; k < width; k += kLanes) squares += load(query + k) * load(query + k);
  __builtin_memcpy(codes, query, static_cast<size_t>(width) * sizeof(float));
}
#endif

// Room behind the last key of the last block: codes of the number 0.
inline void clear_codes(uint32_t* codes, int64_t steps, int64_t first) {
  const uint32_t zero = kIntegerProducts ? 0x80808080u : 0u;
  for (int64_t step = 0; step < steps; ++step) {
    for (int64_t key = first; key < exact::kBlockKeys; ++key) codes[step * exact::kBlockKeys + key] = zero;
  }
}

inline bool quantise_block(exact::Rows keys, int64_t count, int64_t width, const exact::KeyCodes& to,
                           int64_t block) {
  uint32_t* codes = to.codes + block * to.steps * exact::kBlockKeys;
  float maximum = 0;
  for (int64_t j = 0; j < count; ++j) {
    const float largest = largest_magnitude(keys.data + j * keys.row, width);
    maximum = largest > maximum ? largest : maximum;
  }
  if (!(maximum < kLargestNorm)) return false;
  const Scale scale = code_scale(maximum);
  float largest_error = 0;
  float largest_square = 0;
  for (int64_t j = 0; j < count; ++j) {
    Vec<float> errors{};
    Vec<float> squares{};
    code_key(keys.data + j * keys.row, width, scale, codes + j, errors, squares);
    const Four totals = four_totals(errors, squares, errors, squares);
    largest_error = totals.value[0] > largest_error ? totals.value[0] : largest_error;
    largest_square = totals.value[1] > largest_square ? totals.value[1] : largest_square;
  }
  const int64_t padded = (width / kCoordinatesPerStep);
  if (count < exact::kBlockKeys) clear_codes(codes, padded, count);
  if (to.steps > padded) clear_codes(codes + padded * exact::kBlockKeys, to.steps - padded, 0);
  const float error = kIntegerProducts ? bounded_norm(largest_error) : 0.0f;
  const float norm = bounded_norm(largest_square);
  to.scale[block] = scale.code;
  to.inverse[block] = scale.inverse;
  to.error[block] = error + rounding_factor(width) * (norm + error);
  to.norm[block] = norm;
  return norm < kLargestNorm;
}

inline bool quantise_keys(exact::Rows keys, int64_t count, int64_t width, const exact::KeyCodes& codes,
                          int64_t begin, int64_t end) {
  bool good = true;
  for (int64_t block = begin; block < end; ++block) {
    const int64_t first = block * exact::kBlockKeys;
    const int64_t left = count - first < exact::kBlockKeys ? count - first : exact::kBlockKeys;
    good = quantise_block({keys.data + first * keys.row, keys.row}, left, width, codes, block) && good;
  }
  return good;
}

inline bool quantise_queries(exact::Rows from, float score_scale, int64_t steps, const exact::QueryRows& to) {
  for (int64_t i = 0; i < exact::kBlockQueries; ++i) {
    uint32_t* codes = to.codes + i * steps;
    for (int64_t step = i < to.rows ? to.width / kCoordinatesPerStep : 0; step < steps; ++step)
      codes[step] = 0;
    if (i >= to.rows) continue;
    constexpr int64_t kAhead = 4;  // rows of a head may lie far apart
    if (i + kAhead < to.rows) fetch_row(from.data + (i + kAhead) * from.row, to.width);
    float* query = to.queries + i * to.width;
    for (int64_t k = 0; k < to.width; k += kLanes)
      store<float>(query + k, load(from.data + i * from.row + k) * score_scale);
    const float maximum = largest_magnitude(query, to.width);
    if (!(maximum < kLargestNorm)) return false;
    const Scale scale = code_scale(maximum);
    Vec<float> errors{};
    Vec<float> squares{};
    Vec<float> sum{};  // of the codes; whole numbers, exact
    code_query(query, to.width, scale, codes, sum, errors, squares);
    const Four totals = four_totals(errors, squares, sum, sum);
    to.offset[i] = 128 * static_cast<int32_t>(totals.value[2]);
    const float norm = bounded_norm(totals.value[1]);
    to.error[i] = kIntegerProducts ? bounded_norm(totals.value[0]) : 0.0f;
    to.norm[i] = norm + to.error[i];  // of the query itself, not of its code
    to.scale[i] = scale.code;
    to.inverse[i] = scale.inverse;
    if (!(to.norm[i] < kLargestNorm)) return false;
  }
  return true;
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
