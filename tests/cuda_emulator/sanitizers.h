// What the sanitizers must be told about fibers and memory; empty functions in builds without them.
// GR_RACE_DETECTOR is set by the build, not by the compiler: the scheduler runs under ThreadSanitizer without
// being instrumented itself, or its own bookkeeping would look like races of the kernel.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(GR_RACE_DETECTOR)
#include <sanitizer/tsan_interface.h>
#endif

namespace giantrabbit::cuda_emulator {

#if defined(GR_RACE_DETECTOR)
constexpr bool kRaceDetector = true;
// A switch orders nothing: only barriers do, by order_before() and order_after() on a common object.
inline void* race_context() { return __tsan_get_current_fiber(); }
inline void* new_race_context() { return __tsan_create_fiber(0); }
inline void delete_race_context(void* context) { __tsan_destroy_fiber(context); }
inline void enter_race_context(void* context) {
  __tsan_switch_to_fiber(context, __tsan_switch_to_fiber_no_sync);
}
inline void order_before(void* object) { __tsan_release(object); }
inline void order_after(void* object) { __tsan_acquire(object); }
#else
constexpr bool kRaceDetector = false;
inline void* race_context() { return nullptr; }
inline void* new_race_context() { return nullptr; }
inline void delete_race_context(void*) {}
inline void enter_race_context(void*) {}
inline void order_before(void*) {}
inline void order_after(void*) {}
#endif

#if defined(__SANITIZE_ADDRESS__)
// Around a switch to the stack given. A null `saved` says that the stack left behind is not used again.
inline void before_stack_switch(void** saved, const void* bottom, size_t size) {
  __sanitizer_start_switch_fiber(saved, bottom, size);
}
inline void after_stack_switch(void* saved, const void** old_bottom, size_t* old_size) {
  __sanitizer_finish_switch_fiber(saved, old_bottom, old_size);
}
inline void forbid_memory(const void* from, size_t size) { __asan_poison_memory_region(from, size); }
inline void allow_memory(const void* from, size_t size) { __asan_unpoison_memory_region(from, size); }
#else
inline void before_stack_switch(void**, const void*, size_t) {}
inline void after_stack_switch(void*, const void**, size_t*) {}
inline void forbid_memory(const void*, size_t) {}
inline void allow_memory(const void*, size_t) {}
#endif

}  // namespace giantrabbit::cuda_emulator
