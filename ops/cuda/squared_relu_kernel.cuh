// max(x, 0)^2 and its gradient 2 max(x, 0) * grad, entry by entry; NaN passes through. Definition:
// ops/squared_relu.h.
#pragma once

#include "ops/cuda/device.cuh"

namespace giantrabbit::ops::cuda {

constexpr int kEntriesPerThread = 4;  // loads in flight
constexpr int kEntriesPerBlock = kBlockThreads * kEntriesPerThread;

// Written so that NaN, which compares false, passes through.
template <class M>
__device__ M positive_part(M x) {
  return x < M(0) ? M(0) : x;
}

template <class Function>
__device__ void for_own_entries(int64_t count, Function function) {
#pragma unroll
  for (int step = 0; step < kEntriesPerThread; ++step) {
    const int64_t i = int64_t{blockIdx.x} * kEntriesPerBlock + step * kBlockThreads + threadIdx.x;
    if (i < count) function(i);
  }
}

template <class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    squared_relu(int64_t count, const Stored* x, Stored* result) {
  for_own_entries(count, [&](int64_t i) {
    const Math<Stored> kept = positive_part(widened(x[i]));
    put(result + i, kept * kept);
  });
}

template <class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    squared_relu_backward(int64_t count, const Stored* grad, const Stored* x, Stored* grad_x) {
  for_own_entries(count, [&](int64_t i) {
    const Math<Stored> slope = Math<Stored>(2) * positive_part(widened(x[i]));
    put(grad_x + i, slope * widened(grad[i]));
  });
}

}  // namespace giantrabbit::ops::cuda
