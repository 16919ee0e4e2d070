// Global memory of a test: exactly the entries that the kernel may touch, NaN until written. Under the
// emulator it is the host's (guarded_memory.h), in builds for a device (GR_ON_DEVICE) the device's
// (device_memory.h).
#pragma once

#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#if defined(GR_ON_DEVICE)
#include "tests/cuda_emulator/device_memory.h"
#else
#include "tests/cuda_emulator/guarded_memory.h"
#endif

namespace giantrabbit::cuda_emulator {

#if defined(GR_ON_DEVICE)
using GlobalMemory = DeviceMemory;
#else
using GlobalMemory = GuardedMemory;
#endif

template <class T>
class DeviceBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit DeviceBuffer(size_t count) : memory_(count * sizeof(T)), count_(count) {}
  explicit DeviceBuffer(const std::vector<T>& values) : DeviceBuffer(values.size()) {
    memory_.copy_from(values.data());
  }
  ~DeviceBuffer() { EXPECT_TRUE(memory_.intact()) << "a kernel wrote beside a buffer"; }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  T* get() const { return reinterpret_cast<T*>(memory_.data()); }
  size_t size() const { return count_; }
  std::vector<T> values() const {
    std::vector<T> all(count_);
    memory_.copy_to(all.data());
    return all;
  }

 private:
  GlobalMemory memory_;
  size_t count_;
};

}  // namespace giantrabbit::cuda_emulator
