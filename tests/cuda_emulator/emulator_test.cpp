// The emulator computes what CUDA defines, and finds planted bugs of every kind that it is for.
#include "tests/cuda_emulator/emulator.h"

#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline_primitives.h>
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include "tests/cuda_emulator/device_buffer.h"
#include "tests/cuda_emulator/launching.h"

namespace giantrabbit::cuda_emulator {
namespace {

constexpr unsigned kAll = 0xFFFFFFFFU;

template <class T>
T* shared() {
  return reinterpret_cast<T*>(shared_memory());
}

// --- What works
// -----------------------------------------------------------------------------------------------------

void number_threads(unsigned* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}

TEST(CudaEmulatorTest, EveryThreadOfAGridRunsOnce) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3{2, 3, 2};
  config.blockDim = dim3{5, 2, 3};
  under_every_schedule([&] {
    const DeviceBuffer<unsigned> out(12 * 30);
    ASSERT_EQ(cudaLaunchKernelEx(&config, number_threads, out.get()), cudaSuccess);
    for (unsigned i = 0; i < out.size(); ++i) EXPECT_EQ(out.get()[i], i / 30 * 1000 + i % 30);
  });
}

// A sum of every block by shuffles, shared memory and barriers.
void sum_block(const float* in, float* out) {
  float value = in[blockIdx.x * blockDim.x + threadIdx.x];
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(kAll, value, lanes);
  float* const parts = shared<float>();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x == 0) {
    float sum = 0;
    for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += parts[warp];
    out[blockIdx.x] = sum;
  }
}

TEST(CudaEmulatorTest, BarriersAndShuffles) {
  std::vector<float> values(3 * 128);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const DeviceBuffer<float> in(values);
  under_every_schedule([&] {
    const DeviceBuffer<float> out(3);
    launch_kernel({3, 128, 16}, sum_block, in.get(), out.get());
    for (int block = 0; block < 3; ++block)  // 128 numbers from 128 * block on
      EXPECT_EQ(out.get()[block], 128.0F * 128 * block + 127 * 64);
  });
}

void every_warp_operation(int64_t* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int64_t* const own = out + lane * 12;
  own[0] = __shfl_sync(kAll, lane * 10, 7);
  own[1] = __shfl_up_sync(kAll, lane, 3);
  own[2] = __shfl_down_sync(kAll, lane, 3);
  own[3] = __shfl_xor_sync(kAll, lane, 5);
  own[4] = __ballot_sync(kAll, lane % 3 == 0);
  own[5] = __any_sync(kAll, lane == 31) * 2 + __any_sync(kAll, lane == 32);
  own[6] = __all_sync(kAll, lane < 32) * 2 + __all_sync(kAll, lane < 31);
  own[7] = __reduce_add_sync(kAll, lane);
  own[8] = __reduce_min_sync(kAll, lane - 5);
  own[9] = __reduce_max_sync(kAll, 1000U + threadIdx.x);
  own[10] = __shfl_sync(kAll, 0x100000000LL + lane, lane / 2);
  // Two halves that go their own ways.
  own[11] =
      lane < 16 ? __reduce_add_sync(0x0000FFFFU, lane) : __shfl_sync(0xFFFF0000U, lane, 16 + (lane + 1) % 16);
}

TEST(CudaEmulatorTest, WarpOperations) {
  under_every_schedule([&] {
    const DeviceBuffer<int64_t> out(size_t{32} * 12);
    launch_kernel({1, 32}, every_warp_operation, out.get());
    for (int64_t lane = 0; lane < 32; ++lane) {
      const int64_t* own = out.get() + lane * 12;
      const int64_t wanted[12] = {70,
                                  lane < 3 ? lane : lane - 3,
                                  lane > 28 ? lane : lane + 3,
                                  lane ^ 5,
                                  0x49249249,
                                  2,
                                  2,
                                  496,
                                  -5,
                                  1031,
                                  0x100000000LL + lane / 2,
                                  lane < 16 ? 120 : 16 + (lane + 1) % 16};
      for (int i = 0; i < 12; ++i) EXPECT_EQ(own[i], wanted[i]) << "lane " << lane << ", number " << i;
    }
  });
}

void count_threads(int* counter) { atomicAdd(counter, 1); }

TEST(CudaEmulatorTest, Atomics) {
  const DeviceBuffer<int> counter(std::vector<int>{0});
  launch_kernel({5, 33}, count_threads, counter.get());
  EXPECT_EQ(counter.get()[0], 165);
}

// Copies `rounds` rounds of one number per thread through shared memory, two rounds in flight; waits for all
// but `later` of them before it reads.
void copy_in_rounds(const float* in, float* out, int rounds, int later) {
  float* const stage = shared<float>();
  const auto start = [&](int round) {
    if (round < rounds)
      __pipeline_memcpy_async(stage + (round % 2) * 32 + threadIdx.x, in + round * 32 + threadIdx.x, 4);
    __pipeline_commit();
  };
  start(0);
  for (int round = 0; round < rounds; ++round) {
    start(round + 1);
    __pipeline_wait_prior(later);
    out[round * 32 + threadIdx.x] = stage[(round % 2) * 32 + threadIdx.x];
  }
  __pipeline_wait_prior(0);
}

TEST(CudaEmulatorTest, AsynchronousCopiesHappenAtTheWait) {
  std::vector<float> values(5 * 32);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const DeviceBuffer<float> in(values);
  under_every_schedule([&] {
    const DeviceBuffer<float> out(values.size());
    launch_kernel({1, 32, 256}, copy_in_rounds, in.get(), out.get(), 5, 1);
    EXPECT_EQ(out.values(), values);
  });
}

TEST(CudaEmulatorTest, LaunchErrorsOfADevice) {
  cudaLaunchConfig_t config{};
  const DeviceBuffer<int> counter(std::vector<int>{0});
  const auto launched = [&](unsigned blocks, unsigned threads, size_t shared_bytes) {
    config.gridDim = dim3(blocks);
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared_bytes;
    return cudaLaunchKernelEx(&config, count_threads, counter.get());
  };
  EXPECT_EQ(launched(0, 32, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launched(1, 0, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launched(1, 1025, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launched(1, 32, 48 * 1024 + 1), cudaErrorInvalidValue);
  EXPECT_EQ(counter.get()[0], 0);
}

TEST(CudaEmulatorTest, SixteenBitNumbers) {
  EXPECT_EQ(__float2bfloat16_rn(1.0F).bits, 0x3F80);
  EXPECT_EQ(__float2bfloat16_rn(1.0F + 0x1p-8F).bits, 0x3F80);  // a tie goes to the even one
  EXPECT_EQ(__float2bfloat16_rn(1.0F + 0x3p-8F).bits, 0x3F82);
  EXPECT_TRUE(std::isnan(__bfloat162float(__float2bfloat16_rn(NAN))));
  EXPECT_EQ(__bfloat162float(__float2bfloat16_rn(-INFINITY)), -INFINITY);
  EXPECT_EQ(__float2half_rn(1.0F).bits, 0x3C00);
  EXPECT_EQ(__half2float(__float2half_rn(65520.0F)), INFINITY);
  EXPECT_EQ(__half2float(__half{1}), 0x1p-24F);
}

// --- Planted bugs
// ---------------------------------------------------------------------------------------------------

void leave_before_the_barrier(float* out) {
  if (threadIdx.x >= 32) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

TEST(CudaEmulatorPlantedTest, EarlyExit) {
  under_every_schedule([&] {
    const DeviceBuffer<float> out(32);
    const std::string found = violation_of([&] {
      launch_kernel({1, 128}, leave_before_the_barrier, out.get());
    });
    EXPECT_NE(found.find("after 96 of its threads had left"), std::string::npos) << found;
  });
}

void meet_at_two_barriers() {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST(CudaEmulatorPlantedTest, BarrierInABranch) {
  under_every_schedule([&] {
    const std::string found = violation_of([&] { launch_kernel({1, 64}, meet_at_two_barriers); });
    EXPECT_NE(found.find("waits at the barrier of emulator_test.cpp"), std::string::npos) << found;
  });
}

void shuffle_in_a_branch(int* out) {
  if (threadIdx.x < 20) out[threadIdx.x] = __shfl_sync(kAll, 1, 0);
}

void shuffle_from_outside(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xFFFFU, 1, 20);
}

void shuffle_without_oneself(int* out) { out[threadIdx.x] = __shfl_sync(0xFFFFU, 1, 0); }

void shuffle_with_two_masks(int* out) {
  const unsigned mask = threadIdx.x < 16 ? kAll : 0xFFFF0000U;
  out[threadIdx.x] = __shfl_sync(mask, 1, 16);
}

TEST(CudaEmulatorPlantedTest, WrongMasks) {
  struct Case {
    void (*kernel)(int*);
    const char* found;
    unsigned threads;
  };
  for (const Case& planted :
       {Case{shuffle_in_a_branch, " lane", 32}, Case{shuffle_from_outside, "which takes no part", 32},
        Case{shuffle_without_oneself, "its own mask does not name", 32}, Case{shuffle_with_two_masks, "", 32},
        Case{shuffle_in_a_branch, "does not exist", 20}}) {
    under_every_schedule([&] {
      const DeviceBuffer<int> out(32);
      const std::string found = violation_of([&] {
        launch_kernel({1, planted.threads}, planted.kernel, out.get());
      });
      EXPECT_NE(found, "");
      EXPECT_NE(found.find(planted.found), std::string::npos) << found;
    });
  }
}

// Every lane writes, then reads its neighbour without waiting for it.
void assume_lockstep(float* out, bool wait) {
  float* const values = shared<float>();
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (wait) __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}

// The neighbours of a thread are in other warps.
void miss_a_barrier(float* out, bool wait) {
  float* const values = shared<float>();
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (wait) __syncthreads();
  out[threadIdx.x] = values[threadIdx.x ^ 33];
}

// The last block to run decides.
void race_between_blocks(float* out, bool) { out[0] = static_cast<float>(blockIdx.x); }

#if !defined(GR_RACE_DETECTOR)  // there the race is reported first, see races_test.cpp
TEST(CudaEmulatorPlantedTest, WithoutBarrierSomeValuesAreMissing) {
  for (const auto kernel : {assume_lockstep, miss_a_barrier}) {
    under_every_schedule([&] {
      const Shape shape{1, kernel == assume_lockstep ? 32U : 64U, 256};
      for (const bool wait : {true, false}) {
        const DeviceBuffer<float> out(shape.threads);
        launch_kernel(shape, kernel, out.get(), wait);
        int missing = 0;
        for (const float value : out.values()) missing += static_cast<int>(std::isnan(value));
        EXPECT_EQ(missing, wait ? 0 : static_cast<int>(shape.threads) / 2);
      }
    });
  }
}

TEST(CudaEmulatorPlantedTest, BlocksThatRaceDependOnTheSchedule) {
  std::set<float> results;
  under_every_schedule([&] {
    const DeviceBuffer<float> out(1);
    launch_kernel({7, 1}, race_between_blocks, out.get(), false);
    results.insert(out.get()[0]);
  });
  EXPECT_GT(results.size(), 1U);
}
#endif

TEST(CudaEmulatorPlantedTest, LostWaitOfAnAsynchronousCopy) {
  std::vector<float> values(3 * 32, 1.0F);
  const DeviceBuffer<float> in(values);
  under_every_schedule([&] {
    const DeviceBuffer<float> out(values.size());
    launch_kernel({1, 32, 256}, copy_in_rounds, in.get(), out.get(), 3, 2);
    EXPECT_TRUE(std::isnan(out.get()[0]));
  });
}

void never_wait(const float* in) {
  __pipeline_memcpy_async(shared<float>() + threadIdx.x, in + threadIdx.x, 4);
  __pipeline_commit();
}

void copy_misaligned(const float* in) {
  __pipeline_memcpy_async(shared<float>() + 1, in, 16);
  __pipeline_wait_prior(0);
}

TEST(CudaEmulatorPlantedTest, WrongAsynchronousCopies) {
  const DeviceBuffer<float> in(32);
  const auto found = [&](void (*kernel)(const float*), size_t shared_bytes) {
    return violation_of([&] { launch_kernel({1, 32, shared_bytes}, kernel, in.get()); });
  };
  EXPECT_NE(found(never_wait, 128).find("had not waited for"), std::string::npos);
  EXPECT_NE(found(never_wait, 64).find("other than shared memory"), std::string::npos);
  EXPECT_NE(found(copy_misaligned, 128).find("misaligned"), std::string::npos);
}

void read_past_shared_memory(float* out) {
  shared<float>()[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = shared<float>()[threadIdx.x + 1];
}

void read_past_a_buffer(float* out) { out[threadIdx.x] = out[threadIdx.x + 32]; }

void write_before_a_buffer(float* out) { out[-1] = 1; }

void write_before_shared_memory(float*) { shared<float>()[-1] = 1; }

// A page that cannot be touched follows the memory: the program ends, with AddressSanitizer at the exact
// place.
TEST(CudaEmulatorPlantedDeathTest, OutOfBounds) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto launch = [](void (*kernel)(float*), size_t shared_bytes) {
    const DeviceBuffer<float> out(32);
    launch_kernel({1, 32, shared_bytes}, kernel, out.get());
  };
  EXPECT_DEATH(launch(read_past_shared_memory, 128), "");
  EXPECT_DEATH(launch(read_past_a_buffer, 0), "");
#if defined(__SANITIZE_ADDRESS__)
  EXPECT_DEATH(launch(write_before_a_buffer, 0), "use-after-poison");
  EXPECT_DEATH(launch(write_before_shared_memory, 128), "use-after-poison");
#else
  EXPECT_NE(violation_of([&] { launch(write_before_shared_memory, 128); }).find("beside its shared memory"),
            std::string::npos);
  GuardedMemory memory(100);
  EXPECT_TRUE(memory.intact());
  launch_kernel({1, 1}, write_before_a_buffer, reinterpret_cast<float*>(memory.data()));
  EXPECT_FALSE(memory.intact());
#endif
}

// The array is larger than the stack: behind a guard of one page its first writes would hit other memory.
void overflow_the_stack(float* out) {
  volatile float large[1 << 16];
  for (float& value : const_cast<float(&)[1 << 16]>(large)) value = out[0];
  out[0] = large[77];
}

TEST(CudaEmulatorPlantedDeathTest, StackOverflow) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const DeviceBuffer<float> out(1);
  EXPECT_DEATH(launch_kernel({1, 1}, overflow_the_stack, out.get()), "");
}

// A launch that failed leaves nothing behind.
TEST(CudaEmulatorPlantedTest, TheNextLaunchWorks) {
  EXPECT_NE(violation_of([&] { launch_kernel({2, 64}, meet_at_two_barriers); }), "");
  const DeviceBuffer<int> counter(std::vector<int>{0});
  launch_kernel({2, 64}, count_threads, counter.get());
  EXPECT_EQ(counter.get()[0], 128);
}

}  // namespace
}  // namespace giantrabbit::cuda_emulator
