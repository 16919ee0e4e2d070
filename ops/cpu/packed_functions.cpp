// Products of packed matrices in fp32 and bf16, and layer norm, for one instruction set: GR_CAPABILITY names
// the namespace, the compiler's flags set the width. Input and output are described in packed_functions.h.
#include "ops/cpu/packed_functions.h"

#include "ops/cpu/packed_codes.h"
#include "ops/cpu/packed_finish.h"
#include "ops/cpu/row_vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

using Floats = Vec<float>;
constexpr int kLanes = static_cast<int>(Lanes<float>::count);

// Accumulators of a tile: as many as the registers hold beside a pair of weights and a broadcast.
#if defined(__AVX512F__)
constexpr int kAccumulators = 24;
#elif defined(__AVX2__)
constexpr int kAccumulators = 12;
#else
constexpr int kAccumulators = 8;
#endif
constexpr int kPairs = static_cast<int>(kPanel) / (2 * kLanes);  // of vectors in a panel

// Vectors are read in pairs, which bf16 packs together. first_output: of the pair's lower vector; the upper
// one is kUpper outputs further.
struct FloatPairs {
  using Number = float;
  static constexpr int kUpper = kLanes;
  static constexpr int first_output(int pair) { return 2 * kLanes * pair; }
  static void read(const float* line, int pair, Floats& lower, Floats& upper) {
    lower = load(line + 2 * kLanes * pair);
    upper = load(line + 2 * kLanes * pair + kLanes);
  }
};

struct BfloatPairs {
  using Number = uint16_t;
  static constexpr int kUpper = 16;
  static constexpr int first_output(int pair) { return kLanes * pair / 16 * 32 + kLanes * pair % 16; }
  static void read(const uint16_t* line, int pair, Floats& lower, Floats& upper) {
    typedef uint32_t Bits __attribute__((vector_size(kBytes)));
    Bits both;
    __builtin_memcpy(&both, line + 2 * kLanes * pair, sizeof(both));
    lower = (Floats)(both << 16);
    upper = (Floats)(both & 0xffff0000U);
  }
};

// A tile is `rows` inputs times `pairs` of vectors; few rows take more vectors, whose sums hide one another's
// latency.
constexpr int tile_pairs(int rows) {
  int pairs = kPairs;
  while (pairs > 1 && rows * 2 * pairs > kAccumulators) pairs /= 2;
  return pairs;
}
constexpr int kMostRows = kAccumulators / 2 < 6 ? kAccumulators / 2 : 6;

template <class Pairs, int rows, int pairs>
void tile(const typename Pairs::Number* line, int64_t depth, const VectorRows& of, int first_pair,
          int64_t outputs, Finish finish) {
  Floats sum[rows][2 * pairs] = {};
  const float* input = of.input;
  for (int64_t k = 0; k < depth; ++k, line += kPanel, ++input) {
    Floats weight[2 * pairs];
#pragma GCC unroll 8
    for (int j = 0; j < pairs; ++j) {
      Pairs::read(line, first_pair + j, weight[2 * j], weight[2 * j + 1]);
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      const float value = input[i * of.input_row];
#pragma GCC unroll 16
      for (int j = 0; j < 2 * pairs; ++j) sum[i][j] += value * weight[j];
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < 2 * pairs; ++j) {
      const int64_t first = Pairs::first_output(first_pair + j / 2) + j % 2 * Pairs::kUpper;
      const Floats total = sum[i][j];
      finish_vector(total, of.output + i * of.output_row + first, outputs - first, finish);
    }
  }
}

// The rows of one panel; the height of a tile is known at run time, at most `rows`.
template <class Pairs, int rows>
void some_rows(int64_t height, const typename Pairs::Number* panel, int64_t depth, const VectorRows& of,
               int64_t outputs, Finish finish) {
  if constexpr (rows > 0) {
    if (height < rows) return some_rows<Pairs, rows - 1>(height, panel, depth, of, outputs, finish);
    constexpr int kTogether = tile_pairs(rows);
    for (int pair = 0; pair < kPairs; pair += kTogether) {
      tile<Pairs, rows, kTogether>(panel, depth, of, pair, outputs, finish);
    }
  }
}

template <class Pairs>
void product(const typename Pairs::Number* panels, int64_t depth, int64_t begin, int64_t end, VectorRows of,
             Finish finish) {
  for (int64_t first = begin; first < end; first += kPanel) {
    const typename Pairs::Number* panel = panels + first * depth;
    for (int64_t row = 0; row < of.rows; row += kMostRows) {
      const VectorRows part{of.rows - row < kMostRows ? of.rows - row : kMostRows,
                            of.input + row * of.input_row, of.input_row,
                            of.output + row * of.output_row + first, of.output_row};
      some_rows<Pairs, kMostRows>(part.rows, panel, depth, part, end - first, finish);
    }
  }
}

// The sum of map(row); what lies behind the row counts as `fill`.
template <class Map>
inline float row_sum(const float* row, int64_t width, float fill, Map map) {
  Floats sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= width; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sums[j] += map(load(row + i + j * kLanes));
  }
  for (; i + kLanes <= width; i += kLanes) sums[0] += map(load(row + i));
  if (i < width) sums[0] += map(load_part(row + i, width - i, fill));
  return fold_lanes<float>((sums[0] + sums[1]) + (sums[2] + sums[3]),
                           [](Floats a, Floats b) { return a + b; });
}

void layer_norm(const float* input, const float* gain, const float* offset, int64_t width, float* output) {
  constexpr float kEpsilon = 1e-5F;
  const float count = static_cast<float>(width);
  const float mean = row_sum(input, width, 0.0F, [](Floats x) { return x; }) / count;
  const float variance =
      row_sum(input, width, mean, [mean](Floats x) { return (x - mean) * (x - mean); }) / count;
  const float inverse = 1.0F / __builtin_sqrtf(variance + kEpsilon);
  const auto normed = [&](Floats x, Floats by, Floats plus) { return (x - mean) * inverse * by + plus; };
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    store<float>(output + i, normed(load(input + i), load(gain + i), load(offset + i)));
  }
  if (i == width) return;
  const int64_t left = width - i;
  store_part<float>(output + i, left,
                    normed(load_part(input + i, left, 0.0F), load_part(gain + i, left, 0.0F),
                           load_part(offset + i, left, 0.0F)));
}

}  // namespace

const PackedFunctions packed_functions = {product<FloatPairs>, product<BfloatPairs>, product_codes,
                                          encode_input, layer_norm};

}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
