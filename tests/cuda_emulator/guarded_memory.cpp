// Pages with guards around them; see guarded_memory.h.
#include "tests/cuda_emulator/guarded_memory.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include <sys/mman.h>

#include "tests/cuda_emulator/counters.h"
#include "tests/cuda_emulator/sanitizers.h"

namespace giantrabbit::cuda_emulator {
namespace {

constexpr size_t kGuard = 4096;
constexpr size_t kAlignment = 16;
constexpr unsigned char kUnwritten = 0xFF;

constexpr size_t round_up(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

bool all_unwritten(const unsigned char* from, const unsigned char* to) {
  for (; from < to; ++from) {
    if (*from != kUnwritten) return false;
  }
  return true;
}

}  // namespace

GuardedMemory::GuardedMemory(size_t size) : pages_size_(round_up(size, kGuard)), size_(size) {
  void* memory = mmap(nullptr, pages_size_ + 2 * kGuard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  pages_ = static_cast<unsigned char*>(memory) + kGuard;
  if (pages_size_ != 0 && mprotect(pages_, pages_size_, PROT_READ | PROT_WRITE) != 0) std::abort();
  for (size_t i = 0; i < pages_size_; ++i) pages_[i] = kUnwritten;
  data_ = pages_ + pages_size_ - round_up(size, kAlignment);
  forbid_memory(pages_, data_ - pages_);
  forbid_memory(data_ + size_, pages_ + pages_size_ - data_ - size_);
  if constexpr (kCounting) counting::add_memory(data_, size_);
}

GuardedMemory::GuardedMemory(GuardedMemory&& other) noexcept
    : pages_(std::exchange(other.pages_, nullptr)),
      pages_size_(other.pages_size_),
      data_(other.data_),
      size_(other.size_) {}

GuardedMemory::~GuardedMemory() {
  if (pages_ == nullptr) return;
  if constexpr (kCounting) counting::remove_memory(data_);
  allow_memory(pages_, pages_size_);
  munmap(pages_ - kGuard, pages_size_ + 2 * kGuard);
}

bool GuardedMemory::intact() const {
  allow_memory(pages_, pages_size_);
  const bool untouched = all_unwritten(pages_, data_) && all_unwritten(data_ + size_, pages_ + pages_size_);
  forbid_memory(pages_, data_ - pages_);
  forbid_memory(data_ + size_, pages_ + pages_size_ - data_ - size_);
  return untouched;
}

void GuardedMemory::copy_from(const void* values) const {
  if (size_ != 0) std::memcpy(data_, values, size_);
}

void GuardedMemory::copy_to(void* values) const {
  if (size_ != 0) std::memcpy(values, data_, size_);
}

}  // namespace giantrabbit::cuda_emulator
