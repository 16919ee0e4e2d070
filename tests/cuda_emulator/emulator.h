// Runs CUDA kernels on the CPU, for tests: the same source that nvcc compiles, compiled by the C++ compiler
// against the stand-ins for the CUDA headers in include/. Kernels are launched by cudaLaunchKernelEx, as on a
// device.
//
// Found in every build: barriers and warp operations that not all named threads reach at the same call,
// shuffles from lanes that take no part, accesses past the end of shared memory and of DeviceBuffer, reads of
// memory that nobody wrote (it holds NaN), lost waits of cp.async, and, by running under several schedules,
// code that depends on the order in which lanes or blocks run. In builds with ThreadSanitizer: races between
// threads, also of different blocks; with AddressSanitizer the exact access that is out of bounds. Not found:
// what only the memory model of a device allows (a missing fence), two calls of one helper function that
// lanes reach by different ways, waits of blocks for each other, speed. What speed follows from is counted
// (counters.h).
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>

namespace giantrabbit::cuda_emulator {

// The order in which the threads of a block and the blocks of a grid get their turns.
struct Schedule {
  enum class Order { forward, reverse, shuffled };
  Order order = Order::forward;
  uint64_t seed = 0;  // of shuffled
};

constexpr std::array<Schedule, 3> kSchedules{Schedule{Schedule::Order::forward},
                                             Schedule{Schedule::Order::reverse},
                                             Schedule{Schedule::Order::shuffled, 1806}};

void set_schedule(const Schedule& schedule);  // of the launches that follow

// A kernel broke a rule; what() names the rule, the place and the threads.
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace giantrabbit::cuda_emulator
