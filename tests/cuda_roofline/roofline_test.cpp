// The counted work of every case grows as its fit says, traffic has the values of closed forms, and the
// ceilings are applied as they should be.
#include "tests/cuda_roofline/roofline.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "ops/cuda/kernels.h"
#include "tests/cuda_emulator/device_buffer.h"
#include "tests/cuda_roofline/counting.h"

namespace giantrabbit::roofline {
namespace {

using cuda_emulator::DeviceBuffer;

Costs costs(double dram_bytes, double multiply_adds, double launches = 1) {
  Costs result;
  result.quantities[kDramBytes] = dram_bytes;
  result.quantities[kMultiplyAdds] = multiply_adds;
  result.launches = launches;
  return result;
}

TEST(RooflineTest, TheSlowestQuantityDecides) {
  const Device& device = kDevices[0];
  const Prediction of_bytes = predict(device, costs(3e12, 1.0, 2));  // a second at 3 TB/s
  EXPECT_EQ(of_bytes.bound, kDramBytes);
  EXPECT_NEAR(of_bytes.seconds, 1.0 + 2 * device.launch_seconds, 1e-9);
  const Prediction of_sums = predict(device, costs(1.0, 67e12));  // two operations each at 67 TFLOP/s
  EXPECT_EQ(of_sums.bound, kMultiplyAdds);
  EXPECT_NEAR(of_sums.seconds, 2.0, 0.01);
  EXPECT_NEAR(predict(kDevices[1], costs(4.3e12, 0)).seconds, 1.0, 0.01);  // H200: 4.8 TB/s by the data sheet
}

TEST(RooflineTest, GrowthIsThePolynomialOfLowestDegree) {
  std::vector<double> lengths{2, 3, 5, 8};
  std::vector<Costs> counted;
  for (const double n : lengths) counted.push_back(costs(7 + 3 * n, 2 * n * n + n));
  const Growth growth(lengths, counted, 2);
  EXPECT_NEAR(growth.at(1000).quantities[kDramBytes], 3007, 1e-6);
  EXPECT_NEAR(growth.at(1000).quantities[kMultiplyAdds], 2'001'000, 1e-3);
  EXPECT_EQ(growth.at(1000).quantities[kExponentials], 0);
  // What no line meets is seen at the length that checks.
  const Growth line(lengths, counted, 1);
  EXPECT_GT(worst_difference(kDevices[0], line.at(50), costs(1.0, 2 * 2500 + 50)), 0.5);
}

TEST(RooflineTest, RowsAreReadAndWrittenOnce) {
  const int64_t n = 4096;
  const DeviceBuffer<float> scores(std::vector<float>(2 * n, 0.5F));  // wide: read again
  const DeviceBuffer<float> weights(2 * n);
  cuda_emulator::reset_counters();
  ops::cuda::launch_normalize_rows(ops::Normalizer::sparsemax, ops::cuda::Dtype::float32, {2, n},
                                   scores.get(), weights.get(), nullptr);
  const cuda_emulator::Counters found = cuda_emulator::counters();
  EXPECT_EQ(found.read.distinct_sectors, 2 * n / 8);
  EXPECT_EQ(found.written.distinct_sectors, 2 * n / 8);
  EXPECT_GT(found.read.sectors, 3 * 2 * n / 8);
}

// In double, without tensor cores: every warp of eight meets every tile of 32 keys up to the diagonal once,
// with 64 columns; of one-hot rows one value is read.
TEST(RooflineTest, AttentionOfOneKeyHasTheClosedForm) {
  constexpr int64_t kLength = 96;
  constexpr int64_t kHead = 64;
  std::vector<double> query(kLength * kHead, 0.0);
  std::vector<double> key(kLength * kHead, 0.0);
  for (int64_t i = 0; i < kLength; ++i) {
    query[static_cast<size_t>(i * kHead)] = 100.0;
    key[static_cast<size_t>(i * kHead)] = static_cast<double>(i);  // the nearest key wins
  }
  const DeviceBuffer<double> queries(query);
  const DeviceBuffer<double> keys(key);
  const DeviceBuffer<double> values(std::vector<double>(kLength * kHead, 1.0));
  const DeviceBuffer<double> result(kLength * kHead);
  const ops::cuda::HeadsLayout layout{kLength * kHead, kLength * kHead, kHead};
  const ops::cuda::AttentionProblem problem{1,      1,      1,      kLength, kLength, kHead, kHead,  layout,
                                            layout, layout, layout, 1.0,     true,    0,     nullptr};
  cuda_emulator::reset_counters();
  ops::cuda::launch_attention(ops::Normalizer::sparsemax, ops::cuda::Dtype::float64, problem, queries.get(),
                              keys.get(), values.get(), result.get(), nullptr, nullptr);
  uint64_t tiles = 0;  // of blocks of eight queries
  for (int64_t first = 0; first < kLength; first += 8) tiles += (first + 7) / 32 + 1;
  const cuda_emulator::Counters found = cuda_emulator::counters();
  EXPECT_EQ(found.double_multiply_adds, tiles * 8 * 32 * kHead + kLength * kHead);
  // Keys of every tile, the block's queries again for every tile, a value per query.
  EXPECT_EQ(found.read.bytes, (tiles * (32 + 8) * kHead + kLength * kHead) * sizeof(double));
  EXPECT_EQ(found.written.bytes, kLength * kHead * sizeof(double));
}

// On the tensor cores every warp of 32 queries takes every 32 keys up to the diagonal once.
TEST(RooflineTest, TensorCoresTakeEveryVisibleStepOnce) {
  constexpr int64_t kLength = 256;
  for (const Case& operation : all_cases()) {
    if (operation.name != "sparsemax attention, bfloat16") continue;
    cuda_emulator::reset_counters();
    operation.prepare(kLength, 1)();
    constexpr uint64_t kSteps = (kLength / 32) * (kLength / 32 + 1) / 2;
    EXPECT_EQ(cuda_emulator::counters().matrix_multiply_adds, kSteps * 32 * 32 * kHeadWidth);
  }
}

TEST(RooflineTest, EveryCaseGrowsAsItsFitSays) {
  for (const Case& operation : all_cases())
    EXPECT_LE(count_case(operation).difference, kAllowedDifference) << operation.name;
}

}  // namespace
}  // namespace giantrabbit::roofline
