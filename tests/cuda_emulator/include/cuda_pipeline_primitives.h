// Stand-in for CUDA's header of the same name: asynchronous copies to shared memory (cp.async). A copy
// happens when its thread waits for it, not before, so that a forgotten wait reads what was there: NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>

#include "tests/cuda_emulator/launch.h"

inline void __pipeline_memcpy_async(void* to, const void* from, size_t size,
                                    std::source_location where = std::source_location::current()) {
  using namespace giantrabbit::cuda_emulator;
  const auto misaligned = [size](const void* p) { return reinterpret_cast<uintptr_t>(p) % size != 0; };
  if (size != 4 && size != 8 && size != 16) fail("asynchronous copy of neither 4, 8 nor 16 bytes", where);
  if (misaligned(to) || misaligned(from)) fail("misaligned asynchronous copy", where);
  const unsigned char* const begin = shared_memory();
  const auto* const target = static_cast<const unsigned char*>(to);
  if (target < begin || target + size > begin + shared_memory_size())
    fail("asynchronous copy to other than shared memory", where);
  PendingCopies& pending = pending_copies();
  pending.copies.push_back({to, from, size, pending.group});
}

inline void __pipeline_commit() { ++giantrabbit::cuda_emulator::pending_copies().group; }

namespace giantrabbit::cuda_emulator {

// By one access, as on a device, for those who count them.
inline void copy_at_once(const PendingCopy& copy) {
  using Four = uint32_t __attribute__((may_alias));
  using Eight = uint64_t __attribute__((may_alias));
  using Sixteen = uint32_t __attribute__((vector_size(16), may_alias));
  if (copy.size == 4) *static_cast<Four*>(copy.to) = *static_cast<const Four*>(copy.from);
  if (copy.size == 8) *static_cast<Eight*>(copy.to) = *static_cast<const Eight*>(copy.from);
  if (copy.size == 16) *static_cast<Sixteen*>(copy.to) = *static_cast<const Sixteen*>(copy.from);
}

}  // namespace giantrabbit::cuda_emulator

// Waits for all but the last `later` groups.
inline void __pipeline_wait_prior(size_t later) {
  using namespace giantrabbit::cuda_emulator;
  PendingCopies& pending = pending_copies();
  size_t kept = 0;
  for (const PendingCopy& copy : pending.copies) {
    if (copy.group + later >= pending.group) {
      pending.copies[kept++] = copy;
      continue;
    }
    copy_at_once(copy);
  }
  pending.copies.resize(kept);
}
