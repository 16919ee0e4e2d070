// Stand-in for CUDA's header of the same name, for kernels that run on the CPU: qualifiers, built-in
// variables, barriers, warp operations, integer atomics and the launch. Only what kernels of this project
// use; float atomics are left out on purpose (results must not depend on timing), and so is static shared
// memory (it could not be watched).
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <type_traits>
#include <utility>

#include "tests/cuda_emulator/launch.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct alignas(8) float2 {
  float x;
  float y;
};

struct dim3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
};

namespace giantrabbit::cuda_emulator {

template <Extent ThreadView::*extent, unsigned Extent::*axis>
struct Coordinate {
  operator unsigned() const { return view->*extent.*axis; }
};

template <Extent ThreadView::*extent>
struct Coordinates {
  Coordinate<extent, &Extent::x> x;
  Coordinate<extent, &Extent::y> y;
  Coordinate<extent, &Extent::z> z;
};

template <class T>
concept Shuffled = std::is_arithmetic_v<T> &&(sizeof(T) == 4 || sizeof(T) == 8);

template <Shuffled T>
T exchange(unsigned mask, T value, unsigned source, std::source_location where) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  const uint64_t bits = std::bit_cast<Bits>(value);
  return std::bit_cast<T>(
      static_cast<Bits>(warp_operation(WarpOperation::exchange, mask, bits, source, where)));
}

template <class T>
T reduce(WarpOperation operation, unsigned mask, T value, std::source_location where) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>);
  return static_cast<T>(
      warp_operation(operation, mask, static_cast<uint64_t>(static_cast<int64_t>(value)), 0, where));
}

}  // namespace giantrabbit::cuda_emulator

inline constexpr giantrabbit::cuda_emulator::Coordinates<&giantrabbit::cuda_emulator::ThreadView::thread>
    threadIdx{};
inline constexpr giantrabbit::cuda_emulator::Coordinates<&giantrabbit::cuda_emulator::ThreadView::block>
    blockIdx{};
inline constexpr giantrabbit::cuda_emulator::Coordinates<&giantrabbit::cuda_emulator::ThreadView::block_size>
    blockDim{};
inline constexpr giantrabbit::cuda_emulator::Coordinates<&giantrabbit::cuda_emulator::ThreadView::grid_size>
    gridDim{};

inline void __syncthreads(std::source_location where = std::source_location::current()) {
  giantrabbit::cuda_emulator::block_barrier(where);
}

inline void __syncwarp(unsigned mask = 0xFFFFFFFFU,
                       std::source_location where = std::source_location::current()) {
  using namespace giantrabbit::cuda_emulator;
  warp_operation(WarpOperation::synchronise, mask, 0, 0, where);
}

// Shuffles over whole warps: the optional width of CUDA's is always 32.
template <giantrabbit::cuda_emulator::Shuffled T>
T __shfl_sync(unsigned mask, T value, int source,
              std::source_location where = std::source_location::current()) {
  return giantrabbit::cuda_emulator::exchange(mask, value, static_cast<unsigned>(source) % 32, where);
}

template <giantrabbit::cuda_emulator::Shuffled T>
T __shfl_xor_sync(unsigned mask, T value, int lanes,
                  std::source_location where = std::source_location::current()) {
  const unsigned lane = threadIdx.x % 32;
  return giantrabbit::cuda_emulator::exchange(mask, value, lane ^ static_cast<unsigned>(lanes), where);
}

template <giantrabbit::cuda_emulator::Shuffled T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta,
                 std::source_location where = std::source_location::current()) {
  const unsigned lane = threadIdx.x % 32;
  return giantrabbit::cuda_emulator::exchange(mask, value, lane < delta ? lane : lane - delta, where);
}

template <giantrabbit::cuda_emulator::Shuffled T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta,
                   std::source_location where = std::source_location::current()) {
  const unsigned lane = threadIdx.x % 32;
  return giantrabbit::cuda_emulator::exchange(mask, value, lane + delta > 31 ? lane : lane + delta, where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              std::source_location where = std::source_location::current()) {
  using namespace giantrabbit::cuda_emulator;
  return static_cast<unsigned>(
      warp_operation(WarpOperation::vote, mask, static_cast<uint64_t>(predicate != 0), 0, where));
}

inline int __any_sync(unsigned mask, int predicate,
                      std::source_location where = std::source_location::current()) {
  return static_cast<int>(__ballot_sync(mask, predicate, where) != 0);
}

inline int __all_sync(unsigned mask, int predicate,
                      std::source_location where = std::source_location::current()) {
  return static_cast<int>(__ballot_sync(mask, predicate, where) == mask);
}

template <class T>
T __reduce_add_sync(unsigned mask, T value, std::source_location where = std::source_location::current()) {
  using namespace giantrabbit::cuda_emulator;
  return reduce(WarpOperation::sum, mask, value, where);
}

template <class T>
T __reduce_min_sync(unsigned mask, T value, std::source_location where = std::source_location::current()) {
  using namespace giantrabbit::cuda_emulator;
  return reduce(WarpOperation::minimum, mask, value, where);
}

template <class T>
T __reduce_max_sync(unsigned mask, T value, std::source_location where = std::source_location::current()) {
  using namespace giantrabbit::cuda_emulator;
  return reduce(WarpOperation::maximum, mask, value, where);
}

inline int __popc(unsigned bits) { return std::popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }

// Atomic for the sanitizers, and ordering nothing else, as on a device.
template <std::integral T>
T atomicAdd(T* address, T value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

// The launch. Errors that a device reports are returned; what breaks the rules inside the kernel is thrown.
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9 };

using cudaStream_t = struct CUstream_st*;

struct cudaLaunchConfig_t {
  dim3 gridDim{};
  dim3 blockDim{};
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  void* attrs = nullptr;
  unsigned numAttrs = 0;
};

// One small device, so that few tiles of work are enough to have several turns of each block.
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16 };

inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 1;
  return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  using namespace giantrabbit::cuda_emulator;
  constexpr size_t kSharedLimit = size_t{48} << 10;  // without an attribute that asks for more
  const dim3 grid = config->gridDim;
  const dim3 block = config->blockDim;
  const size_t threads = size_t{block.x} * block.y * block.z;
  const bool grid_fits = grid.x >= 1 && grid.x <= 0x7FFFFFFFU && grid.y >= 1 && grid.y <= 0xFFFF &&
                         grid.z >= 1 && grid.z <= 0xFFFF;
  if (!grid_fits || threads == 0 || threads > 1024 || block.z > 64) return cudaErrorInvalidConfiguration;
  if (config->dynamicSmemBytes > kSharedLimit) return cudaErrorInvalidValue;
  note_launch(reinterpret_cast<const void*>(kernel), threads, config->dynamicSmemBytes);
  const auto call = [&](Parameters... converted) {
    const auto body = [&] { kernel(converted...); };
    run_grid(
        {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, config->dynamicSmemBytes,
        [](const void* closure) { (*static_cast<decltype(&body)>(closure))(); }, &body);
  };
  call(std::forward<Arguments>(arguments)...);
  return cudaSuccess;
}
