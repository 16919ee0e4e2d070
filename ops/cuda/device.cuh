// What all kernels share: storage and computing types, groups of threads with their reductions, the launch. A
// kernel includes CUDA's headers by their names; the tests put the emulator's stand-ins in their place
// (tests/cuda_emulator/emulator.h). Rules: dynamic shared memory only, no float atomics, no lockstep assumed
// within a warp, no early exit of a part of a block that meets at a barrier.
#pragma once

#include <cstdint>
#include <limits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "ops/cuda/kernels.h"

namespace giantrabbit::ops::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFFU;

template <class T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();
template <class T>
constexpr T kNan = std::numeric_limits<T>::quiet_NaN();

// 16-bit numbers are computed with as float and rounded once.
template <class Stored>
struct MathOf {
  using type = float;
};
template <>
struct MathOf<double> {
  using type = double;
};
template <class Stored>
using Math = typename MathOf<Stored>::type;

__device__ inline float widened(float value) { return value; }
__device__ inline double widened(double value) { return value; }
__device__ inline float widened(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float widened(__half value) { return __half2float(value); }

__device__ inline void put(float* to, float value) { *to = value; }
__device__ inline void put(double* to, double value) { *to = value; }
__device__ inline void put(__nv_bfloat16* to, float value) { *to = __float2bfloat16_rn(value); }
__device__ inline void put(__half* to, float value) { *to = __float2half_rn(value); }

__device__ inline float square_root(float value) { return sqrtf(value); }
__device__ inline double square_root(double value) { return sqrt(value); }

// 16-byte aligned.
__device__ inline unsigned char* dynamic_shared_memory() {
#if defined(__CUDACC__)
  extern __shared__ __align__(16) unsigned char memory[];
  return memory;
#else
  return cuda_emulator::shared_memory();
#endif
}

__device__ inline int lane_index() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ inline int warp_index() { return static_cast<int>(threadIdx.x) / kWarp; }

// The threads that work on one row. Every thread of a group gets the same bits from sum(), largest() and
// any(), and all must call them. rank() counts the threads within the group, size() of them.
struct WarpGroup {
  __device__ int rank() const { return lane_index(); }
  __device__ int size() const { return kWarp; }

  __device__ int sum(int value) const { return __reduce_add_sync(kAllLanes, value); }
  template <class T>
  __device__ T sum(T value) const {
    for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) value += __shfl_xor_sync(kAllLanes, value, lanes);
    return value;
  }
  template <class T>
  __device__ T largest(T value) const {
    for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
      const T other = __shfl_xor_sync(kAllLanes, value, lanes);
      value = other > value ? other : value;
    }
    return value;
  }
  __device__ bool any(bool value) const { return __any_sync(kAllLanes, value) != 0; }
};

// A block of kBlockWarps warps; `parts` is shared memory of kPartBytes, 8-byte aligned, for nobody else.
constexpr int kBlockWarps = 8;
constexpr int kBlockThreads = kBlockWarps * kWarp;

struct BlockGroup {
  static constexpr int kPartBytes = kBlockWarps * sizeof(double);
  unsigned char* parts;

  __device__ int rank() const { return static_cast<int>(threadIdx.x); }
  __device__ int size() const { return kBlockThreads; }

  template <class T>
  __device__ T sum(T value) const {
    return combined(WarpGroup().sum(value), [](T a, T b) { return a + b; });
  }
  template <class T>
  __device__ T largest(T value) const {
    return combined(WarpGroup().largest(value), [](T a, T b) { return b > a ? b : a; });
  }
  __device__ bool any(bool value) const {
    return combined(static_cast<int>(WarpGroup().any(value)), [](int a, int b) { return a | b; }) != 0;
  }

 private:
  template <class T, class Combine>
  __device__ T combined(T of_warp, Combine combine) const {
    T* const of_warps = reinterpret_cast<T*>(parts);
    if (lane_index() == 0) of_warps[warp_index()] = of_warp;
    __syncthreads();
    T result = of_warps[0];
    for (int warp = 1; warp < kBlockWarps; ++warp) result = combine(result, of_warps[warp]);
    __syncthreads();  // the next call writes there again
    return result;
  }
};

// The launch of `blocks` blocks, none where there is nothing to do.
template <class... Parameters, class... Arguments>
int launch(int64_t blocks, int threads, size_t shared_bytes, void* stream, void (*kernel)(Parameters...),
           Arguments... arguments) {
  if (blocks == 0) return cudaSuccess;
  if (blocks < 0 || blocks > std::numeric_limits<int32_t>::max()) return cudaErrorInvalidValue;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A place in a row is an int, and so is a place one step of a block further.
constexpr int64_t kLongestRow = (int64_t{1} << 31) - (int64_t{1} << 16);

inline bool has_valid_size(const Rows& rows) {
  return rows.count >= 0 && 0 <= rows.length && rows.length <= kLongestRow;
}

// Calls function(value of the storage type) and returns its result.
template <class Function>
int with_floating_type(Dtype dtype, const Function& function) {
  switch (dtype) {
    case Dtype::float32:
      return function(float{});
    case Dtype::float64:
      return function(double{});
    default:
      return cudaErrorInvalidValue;
  }
}

template <class Function>
int with_type(Dtype dtype, const Function& function) {
  switch (dtype) {
    case Dtype::bfloat16:
      return function(__nv_bfloat16{});
    case Dtype::float16:
      return function(__half{});
    default:
      return with_floating_type(dtype, function);
  }
}

}  // namespace giantrabbit::ops::cuda
