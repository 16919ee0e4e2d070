// Memory of exactly the size asked for, between two pages that cannot be touched, filled with 0xFF (NaN in
// every floating dtype) so that values nobody wrote show. Its end, rounded up to 16 bytes, is the end of a
// page: what is read or written past it ends the program. Writes into the rest before and behind are found by
// intact().
#pragma once

#include <cstddef>

namespace giantrabbit::cuda_emulator {

class GuardedMemory {
 public:
  explicit GuardedMemory(size_t size);
  ~GuardedMemory();
  GuardedMemory(GuardedMemory&& other) noexcept;
  GuardedMemory& operator=(GuardedMemory&&) = delete;

  unsigned char* data() const { return data_; }
  size_t size() const { return size_; }
  bool intact() const;  // nothing around the memory was written
  void copy_from(const void* values) const;
  void copy_to(void* values) const;

 private:
  unsigned char* pages_;
  size_t pages_size_;  // without the two untouchable ones
  unsigned char* data_;
  size_t size_;
};

}  // namespace giantrabbit::cuda_emulator
