// What launches cost, counted while the emulator runs them: in builds of the variant `counted` only, in which
// the compiler calls counters.cpp at every access to memory and the linker at every multiply-add and
// exponential; the other variants hold nothing of it.
//
// The lanes of a warp have made one access together where they came to it equally often since they last met
// (a barrier, a shuffle, a vote, ..). Loads of one thread that a device's compiler would join are counted one
// by one. Not counted: additions, comparisons, square roots, index arithmetic,
// and what a cache in between would save; local arrays are taken for registers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace giantrabbit::cuda_emulator {

constexpr uint64_t kSectorBytes = 32;

struct Traffic {                  // with global memory: DeviceBuffer
  uint64_t bytes = 0;             // that threads asked for
  uint64_t sectors = 0;           // of kSectorBytes, of every access of a warp: what L2 has to deliver
  uint64_t distinct_sectors = 0;  // each once per launch: what DRAM has to deliver at least
  bool operator==(const Traffic&) const = default;
};

struct Counters {
  uint64_t launches = 0;
  uint64_t blocks = 0;
  Traffic read;
  Traffic written;                    // integer atomics too
  uint64_t shared_wavefronts = 0;     // passes over the 32 banks of shared memory
  uint64_t shared_conflicts = 0;      // of them those more than the bytes asked for need
  uint64_t multiply_adds = 0;         // fused, by threads
  uint64_t double_multiply_adds = 0;  // the same in double
  uint64_t matrix_multiply_adds = 0;  // by tensor cores, of all lanes together
  uint64_t exponentials = 0;          // of both types, by threads
  uint64_t warp_operations = 0;       // shuffles, votes, reductions, __syncwarp: once per warp
  uint64_t barriers = 0;              // of blocks
  bool operator==(const Counters&) const = default;
};

void reset_counters();
Counters counters();  // since then

#if defined(GR_COUNTERS)
constexpr bool kCounting = true;
#else
constexpr bool kCounting = false;
#endif

// The scheduler's reports; threads are numbered within their block.
namespace counting {
void begin_launch(uint64_t blocks);
void begin_block(unsigned threads, const unsigned char* shared, size_t shared_bytes);
void enter(unsigned thread);
void leave();
void warp_meets(unsigned first_thread, uint32_t lanes);
void block_meets();
void note_matrix_product();  // of 16 x 16 by 16 x 8 numbers, from each lane
void end_block();
void end_launch();
void add_memory(const void* begin, size_t size);  // global memory, from a page's begin to another's end
void remove_memory(const void* begin);
}  // namespace counting

}  // namespace giantrabbit::cuda_emulator
