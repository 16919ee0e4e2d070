// Table of the inner loops of attention over a key/value cache, defined by decode_functions.cpp once per
// instruction set. Plain types only: this header is seen by objects compiled for instructions that the
// machine may lack, so it brings in no inline code. Rows of keys, values and queries are padded with zeros to
// a multiple of kRowPadding numbers.
#pragma once

#include <cstdint>

namespace giantrabbit::ops::cpu {

constexpr int64_t kRowPadding = 16;
constexpr int64_t kPageKeys = 64;  // keys of a page: one 64-bit word of yes and no

// Rows `stride` numbers apart.
struct CacheRows {
  const float* data;
  int64_t stride;
};

// A page of keys in low precision. Code c of a number x is a byte with x ~ scale * (c - 128), laid out
// [stride / 4][64 keys][4 bytes].
struct PageCode {
  float scale;
  float error;  // >= |key - scale * (c - 128)| for every key of the page
  float norm;   // >= |scale * (c - 128)| likewise
};

// A query in low precision: q ~ (code scale) * codes. The score of a key differs from
// factor * scale * (sum of codes * c - offset) by at most per_error * error + per_norm * norm.
struct QueryCode {
  const int8_t* codes;
  int32_t offset;   // 128 * the sum of the codes
  float factor;     // score scale * code scale
  float per_error;  // includes the rounding of scores in fp32
  float per_norm;
  float per_radius;  // the same for keys that are within a radius of a coded centre
};

// What a pass over pages leaves behind. The largest lower bounds of scores, key j of any page in lane j % 64:
// scores of 64 different keys. And the upper bounds of the pages that have one above `threshold`, in the
// order of the pass; there must be room for all pages of the pass.
struct FilterResult {
  float* lane_maxima;  // [64]
  float threshold;
  int32_t* pages;  // [kept]
  float* bounds;   // [kept][64]
  int64_t kept;
};

// Sums of a softmax over a block of keys relative to the block's largest score.
struct SoftmaxSums {
  float maximum;  // NaN if a score is NaN or +inf, -inf if nothing is permitted
  double sum;
};

struct DecodeFunctions {
  // scores[i] = scale * query.row for the rows begin .. begin + count, or for the rows of a list. A score has
  // the same bits either way.
  void (*score_rows)(const float* query, CacheRows keys, int64_t begin, int64_t count, float scale,
                     float* scores);
  void (*score_listed)(const float* query, CacheRows keys, const int64_t* list, int64_t count, float scale,
                       float* scores);
  // sum[0 .. stride) += weights[i] * row, for consecutive rows or the rows of a list.
  void (*add_rows)(const float* weights, CacheRows values, int64_t begin, int64_t count, float* sum);
  void (*add_listed)(const float* weights, CacheRows values, const int64_t* list, int64_t count, float* sum);
  // In place: exp(score - maximum).
  SoftmaxSums (*exponentials)(float* scores, int64_t count);
  // Numbers that are not NaN; at least one.
  float (*largest)(const float* numbers, int64_t count);
  // The positions of the weights that are not 0 (NaN is not), plus `base`; returns how many.
  int64_t (*nonzeros)(const float* weights, int64_t count, int64_t base, int64_t* list);

  // Low precision; null without integer products.
  void (*encode_page)(const float* rows, int64_t stride, uint8_t* codes, PageCode* page);
  // Returns the scale of the codes; `error` and `norm` bound |q - scale * codes| and |q|.
  float (*encode_query)(const float* query, int64_t stride, int8_t* codes, int32_t* code_sum, float* error,
                        float* norm);
  // Pages list[0 .. count), or begin .. begin + count without a list.
  void (*filter_pages)(const QueryCode& query, const uint8_t* codes, const PageCode* pages, int64_t stride,
                       const int32_t* list, int64_t begin, int64_t count, FilterResult* result);
  // bounds[j] >= the score of any key within radii[j] of centre j, for the 64 centres of a coded page.
  void (*ball_bounds)(const QueryCode& query, const uint8_t* codes, const PageCode& page, int64_t stride,
                      const float* radii, float* bounds);
  // Keys whose bound is above the threshold, in the order of `kept`; stops behind `limit` and then returns
  // more than it.
  int64_t (*candidates)(const FilterResult& result, float threshold, int64_t limit, int64_t* keys,
                        float* bounds);
};

namespace baseline {
extern const DecodeFunctions decode_functions;
}
#if defined(__x86_64__)
namespace avx2 {
extern const DecodeFunctions decode_functions;
}
namespace avx512 {
extern const DecodeFunctions decode_functions;
}
namespace avx512vnni {
extern const DecodeFunctions decode_functions;
}
#endif

}  // namespace giantrabbit::ops::cpu
