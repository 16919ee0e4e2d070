// Global memory of a test: exactly the entries that the kernel may touch (guarded_memory.h), NaN until
// written.
#pragma once

#include <cstring>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "tests/cuda_emulator/guarded_memory.h"

namespace giantrabbit::cuda_emulator {

template <class T>
class DeviceBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit DeviceBuffer(size_t count) : memory_(count * sizeof(T)), count_(count) {}
  explicit DeviceBuffer(const std::vector<T>& values) : DeviceBuffer(values.size()) {
    if (count_ != 0) std::memcpy(memory_.data(), values.data(), count_ * sizeof(T));
  }
  ~DeviceBuffer() { EXPECT_TRUE(memory_.intact()) << "a kernel wrote beside a buffer"; }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  T* get() const { return reinterpret_cast<T*>(memory_.data()); }
  size_t size() const { return count_; }
  std::vector<T> values() const { return std::vector<T>(get(), get() + count_); }

 private:
  GuardedMemory memory_;
  size_t count_;
};

}  // namespace giantrabbit::cuda_emulator
