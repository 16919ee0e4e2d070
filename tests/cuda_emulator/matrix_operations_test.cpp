// The stand-ins for mma and ldmatrix: products of matrices by their definition, and planted bugs.
#include <array>
#include <random>
#include <string>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <gtest/gtest.h>
#include <matrix_operations.h>

#include "tests/cuda_emulator/device_buffer.h"
#include "tests/cuda_emulator/launching.h"

namespace giantrabbit::cuda_emulator {
namespace {

constexpr int kPitch = 24;  // numbers of a row of shared memory; 16 are used
constexpr Shape kShape{1, 32, 16 * kPitch * sizeof(__nv_bfloat16)};

uint32_t pair_at(const __nv_bfloat16* numbers) {
  return numbers[0].bits | static_cast<uint32_t>(numbers[1].bits) << 16;
}

// sums [16, 16] = left [16, 16] right [16 columns, 16], which comes by way of shared memory.
void multiply(const __nv_bfloat16* left, const __nv_bfloat16* right, float* sums) {
  auto* const shared = reinterpret_cast<__nv_bfloat16*>(shared_memory());
  const unsigned lane = threadIdx.x;
  for (unsigned i = lane; i < 256; i += 32) shared[i / 16 * kPitch + i % 16] = right[i];
  __syncwarp();
  uint32_t columns[4];
  load_matrices(columns, shared + (lane / 16 * 8 + lane % 8) * kPitch + lane / 8 % 2 * 8);
  const unsigned row = lane / 4;
  const unsigned column = lane % 4 * 2;
  const uint32_t rows[4] = {pair_at(left + row * 16 + column), pair_at(left + (row + 8) * 16 + column),
                            pair_at(left + row * 16 + column + 8),
                            pair_at(left + (row + 8) * 16 + column + 8)};
  for (unsigned half = 0; half < 2; ++half) {
    float own[4] = {};
    add_matrix_product(own, rows, {columns[2 * half], columns[2 * half + 1]});
    for (unsigned i = 0; i < 4; ++i) sums[(row + i / 2 * 8) * 16 + half * 8 + column + i % 2] = own[i];
  }
}

TEST(CudaMatrixTest, ProductsAreThoseOfTheMatrices) {
  std::mt19937_64 random(1806);
  std::normal_distribution<float> normal;
  std::vector<__nv_bfloat16> left;
  std::vector<__nv_bfloat16> right;
  for (int i = 0; i < 256; ++i) {
    left.push_back(__float2bfloat16_rn(normal(random)));
    right.push_back(__float2bfloat16_rn(normal(random)));
  }
  const DeviceBuffer<__nv_bfloat16> rows(left);
  const DeviceBuffer<__nv_bfloat16> columns(right);
  under_every_schedule([&] {
    const DeviceBuffer<float> sums(256);
    launch_kernel(kShape, multiply, rows.get(), columns.get(), sums.get());
    for (size_t i = 0; i < 16; ++i) {
      for (size_t j = 0; j < 16; ++j) {
        double expected = 0.0;
        for (size_t k = 0; k < 16; ++k)
          expected +=
              static_cast<double>(__bfloat162float(left[i * 16 + k]) * __bfloat162float(right[j * 16 + k]));
        const auto found = static_cast<double>(sums.get()[i * 16 + j]);
        EXPECT_NEAR(found, expected, 0x1p-23 * std::abs(expected)) << i << ", " << j;  // cut, not rounded
        EXPECT_LE(std::abs(found), std::abs(expected));
      }
    }
  });
}

void load_from(size_t offset) {
  uint32_t words[4];
  load_matrices(words, shared_memory() + offset);
}

void load_global(const unsigned char* memory) {
  uint32_t words[4];
  load_matrices(words, memory);
}

void multiply_without_half() {
  float sums[4] = {};
  if (threadIdx.x < 16) add_matrix_product(sums, {0, 0, 0, 0}, {0, 0});
}

TEST(CudaMatrixTest, PlantedBugsAreFound) {
  EXPECT_EQ(violation_of([] { launch_kernel(kShape, load_from, size_t{16}); }), "");
  EXPECT_NE(violation_of([] { launch_kernel(kShape, load_from, size_t{8}); }).find("16-byte aligned"),
            std::string::npos);
  EXPECT_NE(violation_of([] { launch_kernel(kShape, load_from, kShape.shared_bytes); }).find("shared memory"),
            std::string::npos);
  const DeviceBuffer<unsigned char> memory(64);
  EXPECT_NE(violation_of([&] { launch_kernel(kShape, load_global, memory.get()); }).find("shared memory"),
            std::string::npos);
  EXPECT_NE(violation_of([] { launch_kernel(kShape, multiply_without_half); }), "");
}

}  // namespace
}  // namespace giantrabbit::cuda_emulator
