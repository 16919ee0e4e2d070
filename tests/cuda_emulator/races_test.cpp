// ThreadSanitizer sees CUDA threads as threads: planted races are reported, and correct kernels are not.
#include <vector>

#include <cuda_pipeline_primitives.h>
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include "tests/cuda_emulator/device_buffer.h"
#include "tests/cuda_emulator/launching.h"

// The first race ends the program.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "halt_on_error=1:report_bugs=1"; }

namespace giantrabbit::cuda_emulator {
namespace {

constexpr unsigned kAll = 0xFFFFFFFFU;

enum class Order { none, warp, shuffle, block };

void wait_in_order(Order order) {
  if (order == Order::warp) __syncwarp();
  if (order == Order::shuffle) __shfl_sync(kAll, 0, 0);
  if (order == Order::block) __syncthreads();
}

// Writes to shared memory, waits, reads what the thread `distance` away has written.
void exchange_by_memory(float* out, int distance, Order order) {
  auto* const values = reinterpret_cast<float*>(shared_memory());
  values[threadIdx.x] = 1;
  wait_in_order(order);
  out[blockIdx.x * blockDim.x + threadIdx.x] = values[threadIdx.x ^ static_cast<unsigned>(distance)];
}

// Uses the memory again while others may still read it; `second` is the order between.
void use_again(float* out, Order second) {
  auto* const values = reinterpret_cast<float*>(shared_memory());
  values[threadIdx.x] = 1;
  __syncthreads();
  const float first = values[threadIdx.x ^ 33U];
  wait_in_order(second);
  values[threadIdx.x] = 2;
  __syncthreads();
  out[threadIdx.x] = first + values[threadIdx.x ^ 33U];
}

void all_write_one(float* out) { out[0] = static_cast<float>(blockIdx.x); }
void add_without_atomic(int* out) { out[0] += 1; }
void add_with_atomic(int* out) { atomicAdd(out, 1); }

void copy_and_read(const float* in, float* out, Order order) {
  auto* const values = reinterpret_cast<float*>(shared_memory());
  __pipeline_memcpy_async(values + threadIdx.x, in + threadIdx.x, 4);
  __pipeline_commit();
  __pipeline_wait_prior(0);
  wait_in_order(order);
  out[threadIdx.x] = values[threadIdx.x ^ 1U];
}

TEST(CudaRacesTest, CorrectKernelsAreNotReported) {
  under_every_schedule([&] {
    const DeviceBuffer<float> out(128);
    launch_kernel({2, 64, 256}, exchange_by_memory, out.get(), 33, Order::block);
    launch_kernel({1, 32, 128}, exchange_by_memory, out.get(), 1, Order::warp);
    launch_kernel({1, 64, 256}, use_again, out.get(), Order::block);
    const DeviceBuffer<int> counter(std::vector<int>{0});
    launch_kernel({3, 32}, add_with_atomic, counter.get());
    EXPECT_EQ(counter.get()[0], 96);
    const DeviceBuffer<float> in(std::vector<float>(32, 3.0F));
    launch_kernel({1, 32, 128}, copy_and_read, in.get(), out.get(), Order::warp);
    EXPECT_EQ(out.get()[0], 3.0F);
  });
}

TEST(CudaRacesDeathTest, PlantedRacesAreReported) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const DeviceBuffer<float> out(128);
  const DeviceBuffer<int> counter(std::vector<int>{0});
  const DeviceBuffer<float> in(std::vector<float>(32, 3.0F));
  constexpr const char* kRace = "data race";
  EXPECT_DEATH(launch_kernel({1, 64, 256}, exchange_by_memory, out.get(), 33, Order::none), kRace);
  EXPECT_DEATH(launch_kernel({1, 64, 256}, exchange_by_memory, out.get(), 33, Order::warp), kRace);
  EXPECT_DEATH(launch_kernel({1, 32, 128}, exchange_by_memory, out.get(), 1, Order::none), kRace);
  EXPECT_DEATH(launch_kernel({1, 32, 128}, exchange_by_memory, out.get(), 1, Order::shuffle), kRace);
  EXPECT_DEATH(launch_kernel({1, 64, 256}, use_again, out.get(), Order::none), kRace);
  EXPECT_DEATH(launch_kernel({3, 1}, all_write_one, out.get()), kRace);
  EXPECT_DEATH(launch_kernel({1, 32}, add_without_atomic, counter.get()), kRace);
  EXPECT_DEATH(launch_kernel({1, 32, 128}, copy_and_read, in.get(), out.get(), Order::none), kRace);
}

}  // namespace
}  // namespace giantrabbit::cuda_emulator
