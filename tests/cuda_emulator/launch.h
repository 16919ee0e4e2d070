// What the stand-ins for the CUDA headers (include/) need from the scheduler. In: a grid, a kernel and calls
// of its threads. Out: every thread has run, or Violation was thrown. One OS thread; a CUDA thread is a
// fiber, the threads of one block take turns, blocks run one after the other. Nothing here is inlined into
// kernels except reading `view`, so that the race detector sees the kernels' own accesses only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <vector>

namespace giantrabbit::cuda_emulator {

struct Extent {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
};

// What the running thread sees of itself.
struct ThreadView {
  Extent thread;
  Extent block;
  Extent block_size;
  Extent grid_size;
};
extern const ThreadView* view;

// Runs kernel(arguments) in every thread of the grid.
void run_grid(Extent grid, Extent block, size_t shared_bytes, void (*kernel)(const void*),
              const void* arguments);

// Every launch comes here first; see launch_log.cpp.
void note_launch(const void* kernel, size_t threads, size_t shared_bytes);

// For the running thread only. `where` tells calls apart: threads meet where they came to the same call.
void block_barrier(std::source_location where);

enum class WarpOperation { synchronise, exchange, vote, sum, minimum, maximum, gather };

// Meets the other lanes of `mask`. Result: of exchange the value of lane `source`; of vote a bit per lane
// whose value is not 0; of the rest the sum, minimum or maximum of the values as signed numbers.
uint64_t warp_operation(WarpOperation operation, uint32_t mask, uint64_t value, unsigned source,
                        std::source_location where);

// Meets all lanes of the warp and gives each what all of them brought, until the warp gathers again.
struct LaneRecord {
  uint32_t words[6];
};
const LaneRecord* gather_lanes(const LaneRecord& own, std::source_location where);

unsigned char* shared_memory();
size_t shared_memory_size();

// Copies that the running thread has started and not waited for, as cp.async does: they happen when it waits.
struct PendingCopy {
  void* to;
  const void* from;
  size_t size;
  uint64_t group;
};
struct PendingCopies {
  std::vector<PendingCopy> copies;
  uint64_t group = 0;
};
PendingCopies& pending_copies();

// Ends the launch with a Violation.
[[noreturn]] void fail(const char* what, std::source_location where);

}  // namespace giantrabbit::cuda_emulator
