// The functions that code compiled with -fsanitize=thread calls at every access to memory, here in the place
// of ThreadSanitizer's own, which is not linked; and the linker's --wrap of multiply-adds and exponentials.
// They count and do nothing else.
#include "tests/cuda_emulator/counting_hooks.h"

#include <cstddef>

namespace {

using giantrabbit::cuda_emulator::counting::note_access;
using giantrabbit::cuda_emulator::counting::note_exponential;
using giantrabbit::cuda_emulator::counting::note_multiply_add;

}  // namespace

#define GR_PLACE reinterpret_cast<uintptr_t>(__builtin_return_address(0))
#define GR_ACCESS(name, size, write) \
  void __tsan_##name(void* address); \
  void __tsan_##name(void* address) { note_access(GR_PLACE, address, size, write); }
#define GR_FETCH_ADD(bits, type)                                                  \
  type __tsan_atomic##bits##_fetch_add(volatile type* address, type value, int);  \
  type __tsan_atomic##bits##_fetch_add(volatile type* address, type value, int) { \
    note_access(GR_PLACE, const_cast<const type*>(address), sizeof(type), true);  \
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);                  \
  }

extern "C" {

void __tsan_init();
void __tsan_init() {}

GR_ACCESS(read1, 1, false)
GR_ACCESS(read2, 2, false)
GR_ACCESS(read4, 4, false)
GR_ACCESS(read8, 8, false)
GR_ACCESS(read16, 16, false)
GR_ACCESS(write1, 1, true)
GR_ACCESS(write2, 2, true)
GR_ACCESS(write4, 4, true)
GR_ACCESS(write8, 8, true)
GR_ACCESS(write16, 16, true)
GR_ACCESS(unaligned_read2, 2, false)
GR_ACCESS(unaligned_read4, 4, false)
GR_ACCESS(unaligned_read8, 8, false)
GR_ACCESS(unaligned_read16, 16, false)
GR_ACCESS(unaligned_write2, 2, true)
GR_ACCESS(unaligned_write4, 4, true)
GR_ACCESS(unaligned_write8, 8, true)
GR_ACCESS(unaligned_write16, 16, true)

void __tsan_read_range(void* address, size_t size);
void __tsan_read_range(void* address, size_t size) {
  note_access(GR_PLACE, address, static_cast<uint32_t>(size), false);
}
void __tsan_write_range(void* address, size_t size);
void __tsan_write_range(void* address, size_t size) {
  note_access(GR_PLACE, address, static_cast<uint32_t>(size), true);
}

void __tsan_vptr_update(void** address, void* value);
void __tsan_vptr_update(void**, void*) {}

GR_FETCH_ADD(32, int)
GR_FETCH_ADD(64, long)

unsigned char __tsan_atomic8_load(const volatile unsigned char* address, int);
unsigned char __tsan_atomic8_load(const volatile unsigned char* address, int) {
  return __atomic_load_n(address, __ATOMIC_ACQUIRE);  // guards of static variables
}

float __real_fmaf(float a, float b, float c);
float __wrap_fmaf(float a, float b, float c);
float __wrap_fmaf(float a, float b, float c) {
  note_multiply_add(false);
  return __real_fmaf(a, b, c);
}
double __real_fma(double a, double b, double c);
double __wrap_fma(double a, double b, double c);
double __wrap_fma(double a, double b, double c) {
  note_multiply_add(true);
  return __real_fma(a, b, c);
}
float __real_expf(float x);
float __wrap_expf(float x);
float __wrap_expf(float x) {
  note_exponential();
  return __real_expf(x);
}
double __real_exp(double x);
double __wrap_exp(double x);
double __wrap_exp(double x) {
  note_exponential();
  return __real_exp(x);
}

}  // extern "C"
