// Table of the inner loops of a generation step that do not look at keys: products of packed matrices with
// few vectors, and layer norm. packed_functions.cpp defines it once per instruction set. Plain types only:
// this header is seen by objects compiled for instructions that the machine may lack, so it brings in no
// inline code.
//
// A packed matrix is cut into panels of kPanel outputs; the last one is filled up with zeros. Within a panel
// the numbers lie in the order in which they are read:
//   fp32   [depth][64 outputs]
//   bf16   [depth][2 blocks][16 pairs]: a dword holds outputs i (lower half) and i + 16 of a block of 32
//   8 bits [depth / 4][64 outputs][4 codes], depth filled up to a multiple of 4; a code is a byte c that
//          stands for (scale of the output) * (c - 128)
#pragma once

#include <cstdint>

namespace giantrabbit::ops::cpu {

constexpr int64_t kPanel = 64;  // outputs
constexpr int64_t kQuad = 4;    // codes that one integer product takes together

// What happens to a product before it is stored.
enum class Finish : int64_t { none, add_to_output, squared_relu };

// Rows of vectors: `rows` inputs and where their results go, `input_row` and `output_row` numbers apart.
struct VectorRows {
  int64_t rows;
  const float* input;
  int64_t input_row;
  float* output;
  int64_t output_row;
};

// An input row in 16 bits, in two parts: x ~ scale * (128 * high + low).
struct InputCode {
  int8_t* high;
  int8_t* low;
  float scale;          // NaN if the row is not finite
  int32_t high_offset;  // 128 * the sum of the parts
  int32_t low_offset;
};

struct PackedFunctions {
  // Panels of one matrix: outputs begin .. end, which start at a panel's first output. Every result is one
  // chain of multiply-adds in the order of the depth (fp32 and bf16) or an exact integer sum, so its bits do
  // not depend on the other rows.
  void (*product_float)(const float* panels, int64_t depth, int64_t begin, int64_t end, VectorRows rows,
                        Finish finish);
  void (*product_bfloat)(const uint16_t* panels, int64_t depth, int64_t begin, int64_t end, VectorRows rows,
                         Finish finish);
  // `codes`: one per row; `scales`: one per output.
  void (*product_codes)(const uint8_t* panels, const float* scales, int64_t depth, int64_t begin, int64_t end,
                        const InputCode* codes, VectorRows rows, Finish finish);
  // Fills high and low, `depth` filled up to a multiple of kQuad with zeros.
  void (*encode_input)(const float* input, int64_t depth, InputCode* code);
  // output = (input - mean) / sqrt(variance + 1e-5) * gain + offset.
  void (*layer_norm)(const float* input, const float* gain, const float* offset, int64_t width,
                     float* output);
};

namespace baseline {
extern const PackedFunctions packed_functions;
}
#if defined(__x86_64__)
namespace avx2 {
extern const PackedFunctions packed_functions;
}
namespace avx512 {
extern const PackedFunctions packed_functions;
}
namespace avx512vnni {
extern const PackedFunctions packed_functions;
}
#endif

}  // namespace giantrabbit::ops::cpu
