// Memory of a device with the interface of guarded_memory.h: filled with 0xFF (NaN), a little of it before
// and behind what was asked for, in which intact() finds writes. An error of the device, also one of a kernel
// that ran before, is thrown.
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
    check("cudaMalloc", cudaMalloc(&memory, size + 2 * kGuard));
    begin_ = static_cast<unsigned char*>(memory);
    check("cudaMemset", cudaMemset(begin_, kUnwritten, size + 2 * kGuard));
  }
  ~DeviceMemory() { cudaFree(begin_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  unsigned char* data() const { return begin_ + kGuard; }
  size_t size() const { return size_; }

  bool intact() const {
    std::vector<unsigned char> around(2 * kGuard);
    check("cudaMemcpy", cudaMemcpy(around.data(), begin_, kGuard, cudaMemcpyDeviceToHost));
    check("cudaMemcpy", cudaMemcpy(around.data() + kGuard, data() + size_, kGuard, cudaMemcpyDeviceToHost));
    return std::all_of(around.begin(), around.end(), [](unsigned char byte) { return byte == kUnwritten; });
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
