// Bounds of scores from pages of keys in low precision: the part of decode_functions.cpp that needs integer
// products. Pages of fp32 rows in, codes and norms out; then a query and coded pages in, bounds out that no
// score in fp32 leaves.
//
// Note [Bounds of coded scores]. With k = k' + e (codes and error) and q = q' + f,
//   q.k = q'.k' + q.e + f.k',   |q.e| <= |q| error,   |f.k'| <= |f| norm,   |k| <= norm + error,
// and q'.k' is exact in integers. Rounding of the score in fp32 and of the bound itself stays below
// (width + 32) 2^-24 |q| (norm + error). The norms are computed in units of the code scale, where nothing
// overflows or underflows, and enlarged by their own rounding.
#pragma once

#include "ops/cpu/decode_functions.h"
#include "ops/cpu/row_vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

#if defined(__AVX512VNNI__)

// Numbers too small to divide by count as 0, the whole number as error.
constexpr float kSmallestMaximum = 1e-30F;
constexpr int64_t kQuads = kPageKeys / 16;  // vectors of one dword per key

inline float reduce_max(__m512 vec) {
  alignas(64) float lanes[16];
  _mm512_store_ps(lanes, vec);
  float largest = lanes[0];
  for (int lane = 1; lane < 16; ++lane) largest = lanes[lane] > largest ? lanes[lane] : largest;
  return largest;
}

inline float reduce_sum(__m512 vec) {
  alignas(64) float lanes[16];
  _mm512_store_ps(lanes, vec);
  float sum = 0.0F;
  for (int lane = 0; lane < 16; ++lane) sum += lanes[lane];
  return sum;
}

inline __m512 magnitude(__m512 vec) { return _mm512_and_ps(vec, (__m512)_mm512_set1_epi32(0x7fffffff)); }

// A bound of a norm from a sum of squares in units of the code scale. Beside the rounding of the sum, below
// 2e-5 for widths up to 1024 and growing with the width, every number lost up to 127 * 3 * 2^-24 when it was
// divided by the scale.
inline float norm_bound(float squares, int64_t stride, float scale) {
  const float width = static_cast<float>(stride);
  const float norm = __builtin_sqrtf(squares) * (1.0F + 2e-5F + width * 0x1p-23F);
  return (norm + 3e-5F * __builtin_sqrtf(width)) * scale;
}

struct CodedRow {
  __m512 error_squares = _mm512_setzero_ps();
  __m512 code_squares = _mm512_setzero_ps();

  __m128i encode(const float* numbers, float inverse) {
    const __m512 units = _mm512_mul_ps(_mm512_loadu_ps(numbers), _mm512_set1_ps(inverse));
    const __m512i codes = _mm512_cvtps_epi32(units);
    const __m512 decoded = _mm512_cvtepi32_ps(codes);
    const __m512 rest = _mm512_sub_ps(units, decoded);
    error_squares = _mm512_fmadd_ps(rest, rest, error_squares);
    code_squares = _mm512_fmadd_ps(decoded, decoded, code_squares);
    return _mm512_cvtepi32_epi8(codes);
  }
};

inline float largest_magnitude(const float* rows, int64_t count) {
  __m512 largest = _mm512_setzero_ps();
  for (int64_t i = 0; i < count; i += 16)
    largest = _mm512_max_ps(largest, magnitude(_mm512_loadu_ps(rows + i)));
  return reduce_max(largest);
}

void encode_page(const float* rows, int64_t stride, uint8_t* codes, PageCode* page) {
  const float maximum = largest_magnitude(rows, kPageKeys * stride);
  const bool tiny = maximum < kSmallestMaximum;
  const float inverse = tiny ? 0.0F : 127.0F / maximum;
  const float scale = tiny ? 0.0F : maximum / 127.0F;
  float error_squares = 0.0F;
  float code_squares = 0.0F;
  for (int64_t key = 0; key < kPageKeys; ++key) {
    CodedRow row;
    for (int64_t k = 0; k < stride; k += 16) {
      const __m128i bytes = _mm_xor_si128(row.encode(rows + key * stride + k, inverse), _mm_set1_epi8(-128));
      alignas(16) int32_t quads[4];
      _mm_store_si128(reinterpret_cast<__m128i*>(quads), bytes);
      for (int64_t quad = 0; quad < 4; ++quad) {
        __builtin_memcpy(codes + ((k / 4 + quad) * kPageKeys + key) * 4, &quads[quad], 4);
      }
    }
    const float error = reduce_sum(row.error_squares);
    const float code = reduce_sum(row.code_squares);
    error_squares = error > error_squares ? error : error_squares;
    code_squares = code > code_squares ? code : code_squares;
  }
  page->scale = scale;
  page->error =
      tiny ? kSmallestMaximum * static_cast<float>(stride) : norm_bound(error_squares, stride, scale);
  page->norm = norm_bound(code_squares, stride, scale);
}

float encode_query(const float* query, int64_t stride, int8_t* codes, int32_t* code_sum, float* error,
                   float* norm) {
  const float maximum = largest_magnitude(query, stride);
  const bool tiny = maximum < kSmallestMaximum;
  const float scale = tiny ? 0.0F : maximum / 127.0F;
  CodedRow row;
  __m512i sum = _mm512_setzero_si512();
  for (int64_t k = 0; k < stride; k += 16) {
    const __m128i bytes = row.encode(query + k, tiny ? 0.0F : 127.0F / maximum);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + k), bytes);
    sum = _mm512_add_epi32(sum, _mm512_cvtepi8_epi32(bytes));
  }
  alignas(64) int32_t lanes[16];
  _mm512_store_si512(lanes, sum);
  *code_sum = 0;
  for (const int32_t lane : lanes) *code_sum += lane;
  const float error_squares = reduce_sum(row.error_squares);  // NaN if the query is not finite
  *error = tiny ? kSmallestMaximum * static_cast<float>(stride) + error_squares
                : norm_bound(error_squares, stride, scale);
  *norm = norm_bound(reduce_sum(row.code_squares), stride, scale) + *error;
  return scale;
}

// Integer products of the query with the 64 keys of a page less the offset, as floats (exact below 2^24, in
// the rounding of the bound beyond).
struct PageProducts {
  __m512 quad[kQuads];
};

inline PageProducts page_products(const QueryCode& query, const uint8_t* codes, int64_t stride) {
  __m512i sum[kQuads];
  for (auto& lanes : sum) lanes = _mm512_set1_epi32(-query.offset);
#pragma GCC unroll 2
  for (int64_t k = 0; k < stride / 4; ++k) {
    int32_t quad;
    __builtin_memcpy(&quad, query.codes + 4 * k, 4);
    const __m512i factor = _mm512_set1_epi32(quad);
    const uint8_t* line = codes + k * kPageKeys * 4;
#pragma GCC unroll 4
    for (int i = 0; i < kQuads; ++i) {
      sum[i] = _mm512_dpbusd_epi32(sum[i], _mm512_loadu_si512(line + 64 * i), factor);
    }
  }
  PageProducts products;
  for (int i = 0; i < kQuads; ++i) products.quad[i] = _mm512_cvtepi32_ps(sum[i]);
  return products;
}

inline float page_slack(const QueryCode& query, const PageCode& page) {
  return query.per_error * page.error + query.per_norm * page.norm;
}

void filter_pages(const QueryCode& query, const uint8_t* codes, const PageCode* pages, int64_t stride,
                  const int32_t* list, int64_t begin, int64_t count, FilterResult* result) {
  const int64_t page_bytes = kPageKeys * stride;
  const __m512 threshold = _mm512_set1_ps(result->threshold);
  __m512 best[kQuads];
  for (int i = 0; i < kQuads; ++i) best[i] = _mm512_loadu_ps(result->lane_maxima + 16 * i);
  int64_t kept = result->kept;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t page = list != nullptr ? list[i] : begin + i;
    const PageProducts products = page_products(query, codes + page * page_bytes, stride);
    const __m512 factor = _mm512_set1_ps(query.factor * pages[page].scale);
    const __m512 slack = _mm512_set1_ps(page_slack(query, pages[page]));
    __m512 upper[kQuads];
    unsigned above = 0;
    for (int q = 0; q < kQuads; ++q) {
      upper[q] = _mm512_fmadd_ps(products.quad[q], factor, slack);
      best[q] = _mm512_max_ps(best[q], _mm512_fmsub_ps(products.quad[q], factor, slack));
      above |= _mm512_cmp_ps_mask(upper[q], threshold, _CMP_GT_OQ);
    }
    if (above == 0) continue;
    for (int q = 0; q < kQuads; ++q) _mm512_storeu_ps(result->bounds + kept * kPageKeys + 16 * q, upper[q]);
    result->pages[kept++] = static_cast<int32_t>(page);
  }
  for (int i = 0; i < kQuads; ++i) _mm512_storeu_ps(result->lane_maxima + 16 * i, best[i]);
  result->kept = kept;
}

void ball_bounds(const QueryCode& query, const uint8_t* codes, const PageCode& page, int64_t stride,
                 const float* radii, float* bounds) {
  const PageProducts products = page_products(query, codes, stride);
  const __m512 factor = _mm512_set1_ps(query.factor * page.scale);
  const __m512 slack = _mm512_set1_ps(page_slack(query, page));
  for (int q = 0; q < kQuads; ++q) {
    const __m512 centre = _mm512_fmadd_ps(products.quad[q], factor, slack);
    const __m512 reach = _mm512_mul_ps(_mm512_loadu_ps(radii + 16 * q), _mm512_set1_ps(query.per_radius));
    _mm512_storeu_ps(bounds + 16 * q, _mm512_add_ps(centre, reach));
  }
}

int64_t candidate_keys(const FilterResult& result, float threshold, int64_t limit, int64_t* keys,
                       float* bounds) {
  const __m512 least = _mm512_set1_ps(threshold);
  int64_t found = 0;
  for (int64_t i = 0; i < result.kept; ++i) {
    const float* upper = result.bounds + i * kPageKeys;
    uint64_t bits = 0;
    for (int q = 0; q < kQuads; ++q) {
      const __mmask16 above = _mm512_cmp_ps_mask(_mm512_loadu_ps(upper + 16 * q), least, _CMP_GT_OQ);
      bits |= static_cast<uint64_t>(above) << (16 * q);
    }
    if (bits == 0) continue;
    if (found + __builtin_popcountll(bits) > limit) return limit + 1;
    for (; bits != 0; bits &= bits - 1) {
      const int64_t key = __builtin_ctzll(bits);
      bounds[found] = upper[key];
      keys[found++] = result.pages[i] * kPageKeys + key;
    }
  }
  return found;
}

constexpr auto kEncodePage = encode_page;
constexpr auto kEncodeQuery = encode_query;
constexpr auto kFilterPages = filter_pages;
constexpr auto kBallBounds = ball_bounds;
constexpr auto kCandidateKeys = candidate_keys;
#else
constexpr auto kEncodePage = nullptr;
constexpr auto kEncodeQuery = nullptr;
constexpr auto kFilterPages = nullptr;
constexpr auto kBallBounds = nullptr;
constexpr auto kCandidateKeys = nullptr;
#endif

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
