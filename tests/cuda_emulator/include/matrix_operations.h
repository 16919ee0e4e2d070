// Stand-ins for the PTX instructions mma.m16n8k16 (bf16, sums in fp32) and ldmatrix (.x4), by the layouts
// that PTX's manual gives. The products of one instruction are summed exactly and what is added to the sum is
// rounded towards zero: a device does so for numbers of a narrow range and less well for others.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <source_location>

#include "tests/cuda_emulator/counters.h"
#include "tests/cuda_emulator/launch.h"

namespace giantrabbit::cuda_emulator {

// A number of a pair, the first in the lower bits.
inline double bfloat_of(uint32_t pair, unsigned which) {
  return static_cast<double>(std::bit_cast<float>(which == 0 ? pair << 16 : pair & 0xFFFF0000U));
}

inline float towards_zero(double value) {
  const auto rounded = static_cast<float>(value);
  return std::abs(static_cast<double>(rounded)) > std::abs(value) ? std::nextafter(rounded, 0.0F) : rounded;
}

inline double pair_product(uint32_t a, uint32_t b) {
  return bfloat_of(a, 0) * bfloat_of(b, 0) + bfloat_of(a, 1) * bfloat_of(b, 1);
}

inline void add_matrix_product(float (&sums)[4], const uint32_t (&left)[4], const uint32_t (&right)[2],
                               std::source_location where = std::source_location::current()) {
  const LaneRecord* const lanes =
      gather_lanes({{left[0], left[1], left[2], left[3], right[0], right[1]}}, where);
  const unsigned lane = view->thread.x % 32;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4;
    const unsigned column = lane % 4 * 2 + i % 2;
    double product = 0.0;
    for (unsigned t = 0; t < 4; ++t) {
      const LaneRecord& of_row = lanes[4 * row + t];
      const LaneRecord& of_column = lanes[4 * column + t];
      product += pair_product(of_row.words[i / 2], of_column.words[4]) +
                 pair_product(of_row.words[i / 2 + 2], of_column.words[5]);
    }
    sums[i] = towards_zero(static_cast<double>(sums[i]) + product);
  }
  if constexpr (kCounting) counting::note_matrix_product();
}

// Lane 8 n + r brings the address of row r of matrix n; word n is lane 4 r + t's pair t of that row.
inline void load_matrices(uint32_t (&words)[4], const void* row,
                          std::source_location where = std::source_location::current()) {
  const auto address = reinterpret_cast<uint64_t>(row);
  if (address % 16 != 0) fail("a row of a matrix that is not 16-byte aligned", where);
  const auto* const begin = reinterpret_cast<const unsigned char*>(row);
  if (begin < shared_memory() || begin + 16 > shared_memory() + shared_memory_size())
    fail("a matrix in other than shared memory", where);
  const LaneRecord* const lanes =
      gather_lanes({{static_cast<uint32_t>(address), static_cast<uint32_t>(address >> 32)}}, where);
  const unsigned lane = view->thread.x % 32;
  for (unsigned n = 0; n < 4; ++n) {
    const LaneRecord& source = lanes[8 * n + lane / 4];
    const uint64_t place = source.words[0] | static_cast<uint64_t>(source.words[1]) << 32;
    words[n] = reinterpret_cast<const uint32_t*>(place)[lane % 4];
  }
}

}  // namespace giantrabbit::cuda_emulator
