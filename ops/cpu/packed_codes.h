// Products of packed matrices in 8 bits with inputs in 16 bits: the part of packed_functions.cpp that profits
// from integer products. The sums are exact integers on every machine; without those instructions they are
// made by plain loops.
//
// An input in 8 bits would cost as much accuracy as the weights do, and more where one number is far larger
// than the others, as behind a squared ReLU. Two parts of 8 bits make its error 128 times smaller; the
// weights, whose bytes bound the speed, are read once for both.
#pragma once

#include "ops/cpu/packed_finish.h"
#include "ops/cpu/packed_functions.h"
#include "ops/cpu/row_vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

constexpr int32_t kLargestCode = 127 * 128;
// Rows that share the weights of a panel: their sums fill the registers.
constexpr int kCodeRows = 3;

inline int64_t quads_of(int64_t depth) { return (depth + kQuad - 1) / kQuad; }

typedef int32_t Words __attribute__((vector_size(kBytes)));
typedef int8_t Codes __attribute__((vector_size(kBytes / 4)));

struct InputRange {
  float largest;  // magnitude
  bool finite;
};

inline InputRange input_range(const float* input, int64_t depth) {
  constexpr int64_t kCount = Lanes<float>::count;
  Vec<float> largest{};
  Vec<float> spoilt{};  // NaN where a number is not finite
  for (int64_t k = 0; k < depth; k += kCount) {
    const Vec<float> x = k + kCount <= depth ? load(input + k) : load_part(input + k, depth - k, 0.0F);
    largest = larger(x < 0.0F ? -x : x, largest);
    spoilt += x * 0.0F;
  }
  return {lane_maximum<float>(largest), lane_bits<float>(spoilt != spoilt) == 0};
}

inline int32_t lane_total(Words words) {
  int32_t total = 0;
  for (int64_t lane = 0; lane < Lanes<float>::count; ++lane) total += words[lane];
  return total;
}

void encode_input(const float* input, int64_t depth, InputCode* code) {
  constexpr int64_t kCount = Lanes<float>::count;
  constexpr float kSmallest = 1e-30F;  // smaller rows count as 0
  const auto [largest, finite] = input_range(input, depth);
  const bool usable = finite && largest >= kSmallest;
  const float inverse = usable ? static_cast<float>(kLargestCode) / largest : 0.0F;
  code->scale = !finite ? __builtin_nanf("") : usable ? largest / static_cast<float>(kLargestCode) : 0.0F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: the sum's last bits are the rounded number
  constexpr int32_t kRoundBits = 0x4b400000;
  Words high_sum{};
  Words low_sum{};
  for (int64_t k = 0; k < depth; k += kCount) {
    const bool whole = k + kCount <= depth;
    const Vec<float> x = whole ? load(input + k) : load_part(input + k, depth - k, 0.0F);
    const Words number = usable ? (Words)(x * inverse + kRound) - kRoundBits : Words{};
    const Words high = (number + 64) >> 7;
    const Words low = number - 128 * high;
    high_sum += high;
    low_sum += low;
    const Codes high_codes = __builtin_convertvector(high, Codes);
    const Codes low_codes = __builtin_convertvector(low, Codes);
    const int64_t filled = quads_of(depth) * kQuad - k;
    const size_t bytes = static_cast<size_t>(filled < kCount ? filled : kCount);
    if (bytes == sizeof(Codes)) {
      __builtin_memcpy(code->high + k, &high_codes, sizeof(Codes));
      __builtin_memcpy(code->low + k, &low_codes, sizeof(Codes));
    } else {
      __builtin_memcpy(code->high + k, &high_codes, bytes);
      __builtin_memcpy(code->low + k, &low_codes, bytes);
    }
  }
  code->high_offset = 128 * lane_total(high_sum);
  code->low_offset = 128 * lane_total(low_sum);
}

// Results of one panel and row from its integer sums.
inline void finish_codes(const int32_t* high, const int32_t* low, const float* scales, float scale,
                         float* output, int64_t outputs, Finish finish) {
  constexpr int64_t kCount = Lanes<float>::count;
  for (int64_t i = 0; i < kPanel && i < outputs; i += kCount) {
    Words of_high;
    Words of_low;
    __builtin_memcpy(&of_high, high + i, sizeof(of_high));
    __builtin_memcpy(&of_low, low + i, sizeof(of_low));
    const Vec<float> sum =
        __builtin_convertvector(of_high, Vec<float>) * 128.0F + __builtin_convertvector(of_low, Vec<float>);
    finish_vector(sum * (load(scales + i) * scale), output + i, outputs - i, finish);
  }
}

struct CodeSums {
  alignas(64) int32_t high[kPanel];
  alignas(64) int32_t low[kPanel];
};

#if defined(__AVX512VNNI__)
template <int rows>
void code_sums(const uint8_t* panel, int64_t quads, const InputCode* codes, CodeSums* sums) {
  constexpr int kVectors = static_cast<int>(kPanel) / 16;
  __m512i high[rows][kVectors];
  __m512i low[rows][kVectors];
#pragma GCC unroll 3
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      high[i][j] = _mm512_set1_epi32(-codes[i].high_offset);
      low[i][j] = _mm512_set1_epi32(-codes[i].low_offset);
    }
  }
#pragma GCC unroll 1
  for (int64_t k = 0; k < quads; ++k) {
    const uint8_t* line = panel + k * kQuad * kPanel;
#pragma GCC unroll 3
    for (int i = 0; i < rows; ++i) {
      int32_t quad[2];
      __builtin_memcpy(&quad[0], codes[i].high + kQuad * k, sizeof(int32_t));
      __builtin_memcpy(&quad[1], codes[i].low + kQuad * k, sizeof(int32_t));
      const __m512i of_high = _mm512_set1_epi32(quad[0]);
      const __m512i of_low = _mm512_set1_epi32(quad[1]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        const __m512i weights = _mm512_loadu_si512(line + 64 * j);
        high[i][j] = _mm512_dpbusd_epi32(high[i][j], weights, of_high);
        low[i][j] = _mm512_dpbusd_epi32(low[i][j], weights, of_low);
      }
    }
  }
#pragma GCC unroll 3
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      _mm512_store_si512(sums[i].high + 16 * j, high[i][j]);
      _mm512_store_si512(sums[i].low + 16 * j, low[i][j]);
    }
  }
}
#else
template <int rows>
void code_sums(const uint8_t* panel, int64_t quads, const InputCode* codes, CodeSums* sums) {
  for (int i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < kPanel; ++j) {
      sums[i].high[j] = -codes[i].high_offset;
      sums[i].low[j] = -codes[i].low_offset;
    }
    for (int64_t k = 0; k < quads; ++k) {
      const uint8_t* line = panel + k * kQuad * kPanel;
      for (int64_t j = 0; j < kPanel; ++j) {
        for (int64_t part = 0; part < kQuad; ++part) {
          const int32_t weight = line[kQuad * j + part];
          sums[i].high[j] += weight * codes[i].high[kQuad * k + part];
          sums[i].low[j] += weight * codes[i].low[kQuad * k + part];
        }
      }
    }
  }
}
#endif

void product_codes(const uint8_t* panels, const float* scales, int64_t depth, int64_t begin, int64_t end,
                   const InputCode* codes, VectorRows of, Finish finish) {
  const int64_t quads = quads_of(depth);
  CodeSums sums[kCodeRows];
  for (int64_t first = begin; first < end; first += kPanel) {
    const uint8_t* panel = panels + first * quads * kQuad;
    for (int64_t row = 0; row < of.rows;) {
      const bool together = of.rows - row >= kCodeRows;
      if (together) {
        code_sums<kCodeRows>(panel, quads, codes + row, sums);
      } else {
        code_sums<1>(panel, quads, codes + row, sums);
      }
      for (int i = 0; i < (together ? kCodeRows : 1); ++i, ++row) {
        finish_codes(sums[i].high, sums[i].low, scales + first, codes[row].scale,
                     of.output + row * of.output_row + first, end - first, finish);
      }
    }
  }
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
