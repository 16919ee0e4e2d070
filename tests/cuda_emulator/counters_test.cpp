// The counters say of kernels whose traffic is known what it is.
#include "tests/cuda_emulator/counters.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include <cuda_pipeline_primitives.h>
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include "tests/cuda_emulator/device_buffer.h"
#include "tests/cuda_emulator/launching.h"

namespace giantrabbit::cuda_emulator {
namespace {

constexpr unsigned kAll = 0xFFFFFFFFU;

// Of one launch, which must be the same under every schedule.
template <class... Parameters, class... Arguments>
Counters counted(const Shape& shape, void (*kernel)(Parameters...), const Arguments&... arguments) {
  Counters first;
  under_every_schedule([&] {
    reset_counters();
    launch_kernel(shape, kernel, arguments...);
    if (first == Counters{}) first = counters();
    EXPECT_TRUE(first == counters());
  });
  return first;
}

Traffic traffic(uint64_t bytes, uint64_t sectors, uint64_t distinct) { return {bytes, sectors, distinct}; }

template <class T>
T* shared() {
  return reinterpret_cast<T*>(shared_memory());
}

// out[i] = in[i * stride + offset]
void gather(const float* in, float* out, unsigned stride, unsigned offset) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = in[i * stride + offset];
}

TEST(CudaCountersTest, SectorsFollowTheAddressesOfAWarp) {
  const DeviceBuffer<float> in(std::vector<float>(128 * 9, 1.0F));
  const DeviceBuffer<float> out(128);
  const Shape shape{.blocks = 2, .threads = 64};  // four warps of 128 bytes, four sectors each
  const Counters next_to_each_other = counted(shape, gather, in.get(), out.get(), 1U, 0U);
  EXPECT_TRUE(next_to_each_other.read == traffic(512, 16, 16));
  EXPECT_TRUE(next_to_each_other.written == traffic(512, 16, 16));
  EXPECT_EQ(next_to_each_other.launches, 1U);
  EXPECT_EQ(next_to_each_other.blocks, 2U);
  EXPECT_EQ(next_to_each_other.shared_wavefronts, 0U);
  // Off by one number every warp touches five sectors, of which neighbours share one.
  EXPECT_TRUE(counted(shape, gather, in.get(), out.get(), 1U, 1U).read == traffic(512, 20, 17));
  EXPECT_TRUE(counted(shape, gather, in.get(), out.get(), 8U, 0U).read == traffic(512, 128, 128));
  EXPECT_TRUE(counted(shape, gather, in.get(), out.get(), 0U, 5U).read == traffic(512, 4, 1));
}

// Lane i reads i numbers, the warp side by side: the k-th reads of all lanes belong together.
void read_triangle(const float* in, float* out, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    float sum = 0;
    for (unsigned k = 0; k < threadIdx.x; ++k) sum += in[k * 32 + threadIdx.x];
    out[threadIdx.x] = sum;
    __syncwarp();
  }
}

TEST(CudaCountersTest, LanesThatLeaveALoopEarlyAreMatchedAgain) {
  const DeviceBuffer<float> in(std::vector<float>(1024, 1.0F));
  const DeviceBuffer<float> out(32);
  uint64_t sectors = 0;  // of step k: lanes k + 1 .. 31
  for (uint64_t k = 0; k < 31; ++k) sectors += 4 - (k + 1) / 8;
  const Counters triangle = counted({}, read_triangle, in.get(), out.get(), 3);
  EXPECT_TRUE(triangle.read == traffic(3 * 31 * 32 / 2 * 4, 3 * sectors, sectors));
  EXPECT_EQ(triangle.warp_operations, 3U);
}

template <class T>
void read_shared(float* out, unsigned stride) {
  T* const memory = shared<T>();
  memory[threadIdx.x] = T(threadIdx.x);
  __syncthreads();
  const T value = memory[threadIdx.x * stride % 1024];
  __syncthreads();
  out[threadIdx.x] = static_cast<float>(value);
}

TEST(CudaCountersTest, WavefrontsFollowTheBanks) {
  const DeviceBuffer<float> out(32);
  const auto wavefronts_of = [&](auto zero, unsigned stride) {
    using T = decltype(zero);
    const Counters found =
        counted({.threads = 32, .shared_bytes = 1024 * sizeof(T)}, read_shared<T>, out.get(), stride);
    EXPECT_EQ(found.barriers, 2U);
    const uint64_t written = sizeof(T) / 4;  // once side by side
    EXPECT_EQ(found.shared_conflicts, found.shared_wavefronts - 2 * written) << stride;
    return found.shared_wavefronts - written;
  };
  EXPECT_EQ(wavefronts_of(0.0F, 1), 1U);
  EXPECT_EQ(wavefronts_of(0.0F, 0), 1U);  // one word for all
  EXPECT_EQ(wavefronts_of(0.0F, 2), 2U);
  EXPECT_EQ(wavefronts_of(0.0F, 32), 32U);
  EXPECT_EQ(wavefronts_of(0.0F, 33), 1U);
  EXPECT_EQ(wavefronts_of(0.0, 1), 2U);
  EXPECT_EQ(wavefronts_of(0.0, 16), 32U);
}

void calculate(float* out, double* wide) {
  float value = static_cast<float>(threadIdx.x);
  for (int i = 0; i < 5; ++i) value = fmaf(value, 0.5F, 1.0F);
  if (threadIdx.x < 10) value = expf(value);
  wide[threadIdx.x] = exp(fma(static_cast<double>(value), 0.5, 1.0));
  out[threadIdx.x] = __shfl_xor_sync(kAll, value, 1);
}

TEST(CudaCountersTest, ArithmeticIsCountedByThread) {
  const DeviceBuffer<float> out(64);
  const DeviceBuffer<double> wide(64);
  const float before = std::exp(std::fma(2.0F, 3.0F, 4.0F));  // not a kernel's
  const Counters found = counted({.threads = 64}, calculate, out.get(), wide.get());
  EXPECT_GT(before, 0.0F);
  EXPECT_EQ(found.multiply_adds, 64U * 5);
  EXPECT_EQ(found.double_multiply_adds, 64U);
  EXPECT_EQ(found.exponentials, 64U + 10);
  EXPECT_EQ(found.warp_operations, 2U);
}

void copy_by_sixteen(const float* in, float* out) {
  __pipeline_memcpy_async(shared<float>() + 4 * threadIdx.x, in + 4 * threadIdx.x, 16);
  __pipeline_commit();
  __pipeline_wait_prior(0);
  out[threadIdx.x] = shared<float>()[4 * threadIdx.x];
}

TEST(CudaCountersTest, AsynchronousCopiesAreSingleAccesses) {
  const DeviceBuffer<float> in(std::vector<float>(128, 1.0F));
  const DeviceBuffer<float> out(32);
  const Counters found = counted({.threads = 32, .shared_bytes = 512}, copy_by_sixteen, in.get(), out.get());
  EXPECT_TRUE(found.read == traffic(512, 16, 16));
  EXPECT_EQ(found.shared_wavefronts, 4U + 4);  // quarters of the warp; reads by a stride of four
}

void count_threads(int* counter) { atomicAdd(counter, 1); }

TEST(CudaCountersTest, LaunchesAddUp) {
  const DeviceBuffer<int> counter(std::vector<int>{0});
  reset_counters();
  for (int i = 0; i < 3; ++i) launch_kernel({.blocks = 2}, count_threads, counter.get());
  EXPECT_EQ(counters().launches, 3U);
  EXPECT_TRUE(counters().written == traffic(3 * 64 * 4, 6, 3));
  EXPECT_EQ(counter.get()[0], 192);
  reset_counters();
  EXPECT_TRUE(counters() == Counters{});
}

}  // namespace
}  // namespace giantrabbit::cuda_emulator
