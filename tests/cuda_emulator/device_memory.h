// Memory of a device with the interface of guarded_memory.h: filled with 0xFF (NaN), a little of it before
// and behind what was asked for, in which intact() finds writes. An error of the device, also one of a kernel
// that ran before, is thrown. Tests look into their buffers as they do under the emulator, so theirs is
// memory that the host sees too (GR_MANAGED_MEMORY), and data() waits for the kernels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>

namespace giantrabbit::cuda_emulator {

class DeviceMemory {
 public:
  explicit DeviceMemory(size_t size) : size_(size) {
    void* memory = nullptr;
#if defined(GR_MANAGED_MEMORY)
    check("cudaMallocManaged", cudaMallocManaged(&memory, size + 2 * kGuard));
#else
    check("cudaMalloc", cudaMalloc(&memory, size + 2 * kGuard));
#endif
    begin_ = static_cast<unsigned char*>(memory);
    check("cudaMemset", cudaMemset(begin_, kUnwritten, size + 2 * kGuard));
  }
  ~DeviceMemory() { cudaFree(begin_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  unsigned char* data() const {
#if defined(GR_MANAGED_MEMORY)
    check("cudaDeviceSynchronize", cudaDeviceSynchronize());
#endif
    return begin_ + kGuard;
  }
  size_t size() const { return size_; }

  // False also where the device cannot answer any more.
  bool intact() const {
    std::vector<unsigned char> around(2 * kGuard);
    const bool answered = cudaMemcpy(around.data(), begin_, kGuard, cudaMemcpyDeviceToHost) == cudaSuccess &&
                          cudaMemcpy(around.data() + kGuard, begin_ + kGuard + size_, kGuard,
                                     cudaMemcpyDeviceToHost) == cudaSuccess;
    return answered &&
           std::all_of(around.begin(), around.end(), [](unsigned char byte) { return byte == kUnwritten; });
  }

  void copy_from(const void* values) const {
    check("cudaMemcpy", cudaMemcpy(data(), values, size_, cudaMemcpyHostToDevice));
  }

  void copy_to(void* values) const {
    check("cudaMemcpy", cudaMemcpy(values, data(), size_, cudaMemcpyDeviceToHost));
  }

 private:
  static constexpr size_t kGuard = 256;  // keeps the alignment
  static constexpr unsigned char kUnwritten = 0xFF;

  static void check(const char* call, cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(error));
  }

  unsigned char* begin_ = nullptr;
  size_t size_;
};

}  // namespace giantrabbit::cuda_emulator
