// Collects what counters.h promises. Accesses of a lane wait in its log until its warp meets; then they are
// matched with those of the other lanes, and sectors and banks are counted access by access.
#include "tests/cuda_emulator/counters.h"

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tests/cuda_emulator/counting_hooks.h"

namespace giantrabbit::cuda_emulator {
namespace {

constexpr unsigned kWarp = 32;
constexpr uint64_t kBanks = 32;
constexpr uint64_t kWordBytes = 4;
constexpr uint64_t kPage = 4096;

struct Access {
  uintptr_t place;   // in the program
  uint64_t address;  // of global memory as if every buffer began with a page, of shared memory from 0 on
  uint32_t size;
  bool write;
  bool shared;
};
using Log = std::vector<Access>;

Counters total;
std::unordered_set<uint64_t> sectors_read;
std::unordered_set<uint64_t> sectors_written;
std::map<uint64_t, uint64_t> memory;  // begin and end of global buffers
std::vector<Log> logs;                // of the block's threads
const unsigned char* shared_begin = nullptr;
size_t shared_size = 0;
Log* running = nullptr;

void count_global(std::span<const Access> accesses) {
  Traffic& traffic = accesses.front().write ? total.written : total.read;
  std::unordered_set<uint64_t>& distinct = accesses.front().write ? sectors_written : sectors_read;
  std::vector<uint64_t> sectors;
  for (const Access& access : accesses) {
    traffic.bytes += access.size;
    const uint64_t last = (access.address + access.size - 1) / kSectorBytes;
    for (uint64_t sector = access.address / kSectorBytes; sector <= last; ++sector) sectors.push_back(sector);
  }
  std::sort(sectors.begin(), sectors.end());
  sectors.erase(std::unique(sectors.begin(), sectors.end()), sectors.end());
  traffic.sectors += sectors.size();
  distinct.insert(sectors.begin(), sectors.end());
}

// Lanes that ask for the same word of a bank are served together. Accesses of 8 and 16 bytes are served in
// halves and quarters of the warp.
void count_shared(std::span<const Access> accesses) {
  const size_t lanes = kBanks * kWordBytes / std::max<uint64_t>(accesses.front().size, kWordBytes);
  for (size_t first = 0; first < accesses.size(); first += lanes) {
    std::vector<uint64_t> words;
    for (const Access& access : accesses.subspan(first, std::min(lanes, accesses.size() - first))) {
      const uint64_t last = (access.address + access.size - 1) / kWordBytes;
      for (uint64_t word = access.address / kWordBytes; word <= last; ++word) words.push_back(word);
    }
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    std::array<uint64_t, kBanks> of_bank{};
    for (const uint64_t word : words) ++of_bank[word % kBanks];
    const uint64_t wavefronts = *std::max_element(of_bank.begin(), of_bank.end());
    total.shared_wavefronts += wavefronts;
    total.shared_conflicts += wavefronts - 1;
  }
}

void count_together(std::span<const Access> accesses) {
  if (accesses.front().shared) {
    count_shared(accesses);
  } else {
    count_global(accesses);
  }
}

// Whether all went the same way, as they do nearly always.
bool same_places(std::span<Log* const> lanes) {
  return std::all_of(lanes.begin(), lanes.end(), [&](const Log* log) {
    return std::equal(log->begin(), log->end(), lanes.front()->begin(), lanes.front()->end(),
                      [](const Access& a, const Access& b) {
                        return a.place == b.place && a.shared == b.shared && a.size == b.size;
                      });
  });
}

void count_in_step(std::span<Log* const> lanes) {
  std::vector<Access> together;
  for (size_t i = 0; i < lanes.front()->size(); ++i) {
    together.clear();
    for (const Log* log : lanes) together.push_back((*log)[i]);
    count_together(together);
  }
}

void count_by_place(std::span<Log* const> lanes) {
  using Key = std::tuple<uintptr_t, unsigned, bool, uint32_t>;  // place, how often before, shared, size
  std::map<Key, std::vector<Access>> groups;
  for (const Log* log : lanes) {
    std::unordered_map<uintptr_t, unsigned> visits;
    for (const Access& access : *log)
      groups[{access.place, visits[access.place]++, access.shared, access.size}].push_back(access);
  }
  for (const auto& [key, accesses] : groups) count_together(accesses);
}

void meet(unsigned first_thread, uint32_t mask) {
  std::vector<Log*> lanes;
  for (unsigned lane = 0; lane < kWarp && first_thread + lane < logs.size(); ++lane) {
    Log& log = logs[first_thread + lane];
    if ((mask >> lane & 1U) != 0 && !log.empty()) lanes.push_back(&log);
  }
  if (lanes.empty()) return;
  if (same_places(lanes)) {
    count_in_step(lanes);
  } else {
    count_by_place(lanes);
  }
  for (Log* log : lanes) log->clear();
}

void all_warps_meet() {
  for (unsigned first = 0; first < logs.size(); first += kWarp) meet(first, 0xFFFFFFFFU);
}

}  // namespace

void reset_counters() { total = {}; }

Counters counters() { return total; }

namespace counting {

void note_access(uintptr_t place, const void* address, uint32_t size, bool write) {
  if (running == nullptr) return;
  const auto at = reinterpret_cast<uint64_t>(address);
  const uint64_t in_shared = at - reinterpret_cast<uint64_t>(shared_begin);
  if (in_shared < shared_size) {
    running->push_back({place, in_shared, size, write, true});
    return;
  }
  auto after = memory.upper_bound(at);
  if (after == memory.begin()) return;
  const auto& [begin, end] = *--after;
  if (at >= end) return;
  running->push_back({place, at - begin + begin / kPage * kPage, size, write, false});
}

void note_multiply_add(bool of_doubles) {
  if (running != nullptr) ++(of_doubles ? total.double_multiply_adds : total.multiply_adds);
}

void note_matrix_product() { total.matrix_multiply_adds += 16 * 8 * 16 / kWarp; }

void note_exponential() {
  if (running != nullptr) ++total.exponentials;
}

void begin_launch(uint64_t blocks) {
  ++total.launches;
  total.blocks += blocks;
}

void begin_block(unsigned threads, const unsigned char* shared, size_t shared_bytes) {
  logs.resize(threads);
  shared_begin = shared;
  shared_size = shared_bytes;
}

void enter(unsigned thread) { running = &logs[thread]; }

void leave() { running = nullptr; }

void warp_meets(unsigned first_thread, uint32_t lanes) {
  ++total.warp_operations;
  meet(first_thread, lanes);
}

void block_meets() {
  ++total.barriers;
  all_warps_meet();
}

void end_block() {
  all_warps_meet();
  shared_size = 0;
}

void end_launch() {
  total.read.distinct_sectors += sectors_read.size();
  total.written.distinct_sectors += sectors_written.size();
  sectors_read.clear();
  sectors_written.clear();
}

void add_memory(const void* begin, size_t size) {
  memory[reinterpret_cast<uint64_t>(begin)] = reinterpret_cast<uint64_t>(begin) + size;
}

void remove_memory(const void* begin) { memory.erase(reinterpret_cast<uint64_t>(begin)); }

}  // namespace counting

}  // namespace giantrabbit::cuda_emulator
