// What the compiler's and the linker's calls (counting_hooks.cpp) report to the counters, for the thread that
// runs; nothing happens where none does.
#pragma once

#include <cstdint>

namespace giantrabbit::cuda_emulator::counting {

void note_access(uintptr_t place, const void* address, uint32_t size, bool write);
void note_multiply_add(bool of_doubles);
void note_exponential();

}  // namespace giantrabbit::cuda_emulator::counting
