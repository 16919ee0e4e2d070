// Table of the stages of exact sparse attention that functions.cpp defines once per instruction set, and the
// plain structures they share: quantise, seed, filter, refine, output; gradients. See Note [Exact by bounds]
// in ops/cpu/exact/forward.cpp. Plain types only: this header is seen by objects compiled for instructions
// that the machine may lack, so it brings in no inline code.
#pragma once

#include <cstdint>

namespace giantrabbit::ops::cpu::exact {

// Keys are coded and filtered in blocks of 64: one bit per key in a word. Queries go through the stages in
// blocks of at most 96 rows; the rows of a tile (6 or 16) divide that.
inline constexpr int64_t kBlockKeys = 64;
inline constexpr int64_t kBlockQueries = 96;
// The first blocks of keys, whose low-precision scores are stored to find the first bounds.
inline constexpr int64_t kSeedBlocks = 4;
// Most blocks of keys between two refinements.
inline constexpr int64_t kPassBlocks = 64;
// Distances between the rows of a pass: an odd number of cache lines, since rows a power of two apart would
// share cache sets.
inline constexpr int64_t kWordStride = kPassBlocks + 8;
inline constexpr int64_t kLimitStride = kPassBlocks + 16;

enum class Rule : int32_t { sparsemax, entmax15 };

// Rows of fp32, unit stride inside a row; widths are whole multiples of 16.
struct Rows {
  const float* data;
  int64_t row;
};

// The keys of one head in low precision: blocks of [steps][64 keys][4 bytes]. A step is 4 coordinates as
// unsigned bytes (code + 128), or one coordinate as float where the machine has no integer products.
// |q.k - q.(scale code)| <= |q| error for every key of a block, rounding of a fp32 product included;
// |scale code| <= norm.
struct KeyCodes {
  int64_t steps;
  uint32_t* codes;
  float* scale;    // [blocks]
  float* inverse;  // [blocks] 1 / scale
  float* error;    // [blocks]
  float* norm;     // [blocks]
};

// A block of queries of one head on its way through the stages. Arrays are indexed by the row in the block
// and have room for 96.
struct QueryRows {
  Rule rule;
  int64_t rows;
  int64_t width;
  float* queries;   // [rows][width], times the scale of the scores
  uint32_t* codes;  // [96][steps], a step as in KeyCodes but signed; zeros behind the rows
  float* scale;
  float* inverse;
  float* norm;
  float* error;     // |query - scale code|
  int32_t* offset;  // 128 times the sum of the codes: what the 128 in the keys' codes adds to a product
  // Keys begin .. end - 1 are visible, and of those only the ones in `listed` where there are lists.
  const int32_t* begin;
  const int32_t* end;
  const uint64_t* listed;  // [rows][listed_blocks], or null
  int64_t listed_blocks;
  float* bound;    // proven: no key at or below it has a weight; -infinity before the first key
  float* maximum;  // largest score so far
  float* tau;      // threshold relative to the maximum, of score - maximum or half of it (entmax15)
};

// Blocks of keys on both sides of those seen before, and a word per row and block: the keys that may matter.
// The first `left` of `count` blocks begin at `first`; the others follow behind a gap of `gap` blocks.
struct Pass {
  int64_t first;
  int64_t count;
  int64_t left;
  int64_t gap;
  uint64_t* words;  // [96][kWordStride]
  int32_t* marked;  // [96] bits in a row's words, set by count()
  int32_t* limits;  // [96][kLimitStride] scratch: thresholds of the low-precision scores
};

// Keys and scores above the bound of every row, keys rising inside a row.
struct Candidates {
  int64_t* offsets;  // [rows + 1]
  int32_t* keys;
  float* scores;
};

// Room for one row at a time: every key of the problem and 64 more.
struct RowScratch {
  int32_t* keys;
  float* scores;
};

// Where the weights of a block go. `keys` and `weights` may be null if nobody needs them.
struct BlockOutput {
  float* output;
  int64_t row;
  int64_t width;
  int32_t* keys;
  float* weights;
  int64_t* counts;  // [rows] nonzero weights
};

// Rows that a kernel writes; data is null if nobody needs them.
struct TargetRows {
  float* data;
  int64_t row;
};

// Queries of one head with their supports, in compressed rows: row i has the entries offsets[i] ..
// offsets[i + 1] - 1, keys rising. score_grads receives the gradients of the unscaled products of query and
// key. Rows whose supports reach over several tiles of keys go through them together.
struct RowGradients {
  Rule rule;
  float scale;
  int64_t rows;
  const int64_t* offsets;
  const int32_t* keys;
  const float* weights;
  float* score_grads;
  int64_t key_count;
  int64_t tile_keys;
  float* scratch;  // room for the largest support and 16 more
  Rows output_grads;
  TargetRows query_grads;
};

// Keys of one head with the queries that use them: key j has the entries offsets[j] .. offsets[j + 1] - 1, in
// the order of the queries.
struct KeyGradients {
  int64_t keys;
  const int64_t* offsets;
  const int32_t* rows;
  const float* weights;
  const float* score_grads;
  bool add;  // to the gradients that are there
  TargetRows key_grads;
  TargetRows value_grads;
};

struct Functions {
  int64_t coordinates_per_step;
  int64_t step_multiple;  // steps are padded to a multiple of it
  // Codes of blocks begin .. end - 1 of `count` keys; false if a number is not finite or too large.
  bool (*quantise_keys)(Rows keys, int64_t count, int64_t width, const KeyCodes& codes, int64_t begin,
                        int64_t end);
  // Fills queries .. offset from the rows; false as above.
  bool (*quantise_queries)(Rows from, float score_scale, int64_t steps, const QueryRows& rows);
  // Of rows first .. end - 1; first is a multiple of 48, which holds whole tiles of every instruction set.
  void (*seed)(const KeyCodes& keys, const QueryRows& rows, const Pass& pass, int64_t first, int64_t end);
  void (*filter)(const KeyCodes& keys, const QueryRows& rows, const Pass& pass);
  // Marked keys in rows that had a bound to be marked by.
  int64_t (*count)(const QueryRows& rows, const Pass& pass, int64_t first, int64_t end);
  // Scores of the marked keys join `from`, bounds rise, what stays above them goes to `to`; false if `to` has
  // no room for `capacity`.
  bool (*refine)(Rows keys, const QueryRows& rows, const Pass& pass, const Candidates& from,
                 const RowScratch& scratch, const Candidates& to, int64_t capacity);
  int64_t (*output)(Rows values, const QueryRows& rows, const Candidates& from, const RowScratch& scratch,
                    const BlockOutput& to);
  void (*row_gradients)(Rows keys, int64_t width, Rows values, int64_t value_width, const RowGradients& of);
  void (*key_gradients)(Rows queries, int64_t width, Rows output_grads, int64_t value_width,
                        const KeyGradients& of);
};

}  // namespace giantrabbit::ops::cpu::exact

namespace giantrabbit::ops::cpu {
namespace baseline {
extern const exact::Functions exact_functions;
}
#if defined(__x86_64__)
namespace avx2 {
extern const exact::Functions exact_functions;
}
namespace avx512 {
extern const exact::Functions exact_functions;
}
namespace avx512vnni {
extern const exact::Functions exact_functions;
}
namespace amx {
extern const exact::Functions exact_functions;
}
#endif
}  // namespace giantrabbit::ops::cpu
