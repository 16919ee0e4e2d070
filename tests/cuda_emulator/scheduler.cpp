// Gives the threads of a block their turns and lets them meet at barriers and warp operations; see launch.h.
// Compiled without ThreadSanitizer's instrumentation (sanitizers.h).
#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cuda_emulator/counters.h"
#include "tests/cuda_emulator/emulator.h"
#include "tests/cuda_emulator/fiber.h"
#include "tests/cuda_emulator/guarded_memory.h"
#include "tests/cuda_emulator/launch.h"
#include "tests/cuda_emulator/sanitizers.h"

namespace giantrabbit::cuda_emulator {

const ThreadView* view = nullptr;

namespace {

constexpr unsigned kWarp = 32;

// Unwinds the stack of a thread whose launch has failed.
struct LaunchEnded {};

enum class State { ready, at_barrier, in_warp_operation, done };

class Block;

struct Thread {
  Block* block;
  unsigned index;
  ThreadView view;
  std::unique_ptr<Fiber> fiber;
  State state = State::ready;
  // Of the call that it waits in.
  std::source_location where;
  WarpOperation operation{};
  uint32_t mask = 0;
  uint64_t value = 0;
  unsigned source = 0;
  PendingCopies pending{};
};

struct Launch {
  Extent grid;
  Extent block;
  size_t shared_bytes;
  void (*kernel)(const void*);
  const void* arguments;
  std::string failure;
  char started = 0;  // objects that the race detector orders threads by
  char ended = 0;
};

Schedule schedule;
std::mt19937_64 shuffler;
Launch* launch = nullptr;
Thread* running = nullptr;
std::vector<std::unique_ptr<Stack>> stacks;

bool same_call(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() && std::string_view(a.file_name()) == b.file_name();
}

std::string place(const std::source_location& where) {
  const std::string_view path = where.file_name();
  return std::string(path.substr(path.rfind('/') + 1)) + ":" + std::to_string(where.line());
}

std::vector<unsigned> turns(unsigned count) {
  std::vector<unsigned> order(count);
  std::iota(order.begin(), order.end(), 0U);
  if (schedule.order == Schedule::Order::reverse) std::reverse(order.begin(), order.end());
  if (schedule.order == Schedule::Order::shuffled) std::shuffle(order.begin(), order.end(), shuffler);
  return order;
}

Extent position(unsigned index, const Extent& size) {
  return {index % size.x, index / size.x % size.y, index / size.x / size.y};
}

unsigned volume(const Extent& extent) { return extent.x * extent.y * extent.z; }

class Block {
 public:
  Block(unsigned index, size_t first_stack);
  void run();
  unsigned char* shared_memory() const { return shared_.data(); }
  std::string name(const Thread& thread) const;

 private:
  void give_turn(Thread& thread);
  void give_turns();
  void try_warp_operation(const Thread& latest);
  void finish_warp_operation(std::span<Thread* const> lanes);
  void release_barrier();
  void end_threads();
  void order(std::span<Thread* const> group, void* object);
  void violation(const std::string& what) {
    if (launch->failure.empty()) launch->failure = what;
  }

  unsigned index_;
  GuardedMemory shared_;
  std::vector<Thread> threads_;
  std::vector<LaneRecord> gathered_;  // a record per thread
  char meeting_ = 0;
};

void run_thread(void* argument) {
  Thread& self = *static_cast<Thread*>(argument);
  order_after(&launch->started);
  try {
    if (launch->failure.empty()) launch->kernel(launch->arguments);
  } catch (const LaunchEnded&) {
  }
  order_before(&launch->ended);
  self.state = State::done;
}

Block::Block(unsigned index, size_t first_stack)
    : index_(index),
      shared_(launch->shared_bytes),
      threads_(volume(launch->block)),
      gathered_(threads_.size()) {
  for (unsigned i = 0; i < threads_.size(); ++i) {
    Thread& thread = threads_[i];
    thread.block = this;
    thread.index = i;
    thread.view = {position(i, launch->block), position(index, launch->grid), launch->block, launch->grid};
    while (stacks.size() <= first_stack + i) stacks.push_back(std::make_unique<Stack>());
    thread.fiber = std::make_unique<Fiber>(*stacks[first_stack + i], run_thread, &thread);
  }
  order_before(&launch->started);
}

std::string Block::name(const Thread& thread) const {
  return "thread " + std::to_string(thread.index) + " of block " + std::to_string(index_);
}

void Block::give_turn(Thread& thread) {
  running = &thread;
  view = &thread.view;
  if constexpr (kCounting) counting::enter(thread.index);
  thread.fiber->enter();
  if constexpr (kCounting) counting::leave();
  running = nullptr;
  if (thread.state == State::in_warp_operation) try_warp_operation(thread);
  const bool copies_left = thread.state == State::done && !thread.pending.copies.empty();
  if (copies_left && launch->failure.empty()) {
    violation(name(thread) + " ended with " + std::to_string(thread.pending.copies.size()) +
              " asynchronous copies that it had not waited for");
  }
}

void Block::give_turns() {
  for (const unsigned i : turns(threads_.size())) {
    if (!launch->failure.empty()) return;
    if (threads_[i].state == State::ready) give_turn(threads_[i]);
  }
}

void Block::run() {
  const auto none_ready = [this] {
    return std::none_of(threads_.begin(), threads_.end(),
                        [](const Thread& thread) { return thread.state == State::ready; });
  };
  const auto all_done = [this] {
    return std::all_of(threads_.begin(), threads_.end(),
                       [](const Thread& thread) { return thread.state == State::done; });
  };
  if constexpr (kCounting)
    counting::begin_block(static_cast<unsigned>(threads_.size()), shared_.data(), shared_.size());
  while (launch->failure.empty() && !all_done()) {
    give_turns();
    if (launch->failure.empty() && none_ready() && !all_done()) release_barrier();
  }
  end_threads();
  if constexpr (kCounting) counting::end_block();
  if (!shared_.intact()) violation("block " + std::to_string(index_) + " wrote beside its shared memory");
}

// Threads of a failed launch leave their calls by LaunchEnded.
void Block::end_threads() {
  for (Thread& thread : threads_) {
    while (thread.state != State::done) give_turn(thread);
  }
}

// Nobody can go on: all threads stand at one barrier, or the kernel is wrong.
void Block::release_barrier() {
  std::vector<Thread*> waiting;
  for (Thread& thread : threads_) {
    if (thread.state == State::done) continue;
    if (thread.state == State::in_warp_operation) {
      std::ostringstream text;
      text << name(thread) << " waits at " << place(thread.where) << " for lanes of mask 0x" << std::hex
           << thread.mask << " that never come with the same call and mask";
      return violation(text.str());
    }
    if (!waiting.empty() && !same_call(waiting.front()->where, thread.where)) {
      return violation(name(*waiting.front()) + " waits at the barrier of " + place(waiting.front()->where) +
                       ", thread " + std::to_string(thread.index) + " at that of " + place(thread.where));
    }
    waiting.push_back(&thread);
  }
  if (waiting.size() != threads_.size()) {
    return violation("barrier at " + place(waiting.front()->where) + " of block " + std::to_string(index_) +
                     " after " + std::to_string(threads_.size() - waiting.size()) +
                     " of its threads had left the kernel");
  }
  order(waiting, &meeting_);
  if constexpr (kCounting) counting::block_meets();
  for (Thread* thread : waiting) thread->state = State::ready;
}

// All that any of the group did before now comes before all that any of it does from now on.
void Block::order(std::span<Thread* const> group, void* object) {
  if constexpr (kRaceDetector) {
    void* const own = race_context();
    for (const Thread* thread : group) {
      enter_race_context(thread->fiber->race_context());
      order_before(object);
    }
    for (const Thread* thread : group) {
      enter_race_context(thread->fiber->race_context());
      order_after(object);
    }
    enter_race_context(own);
  }
}

void Block::try_warp_operation(const Thread& latest) {
  const unsigned first = latest.index / kWarp * kWarp;
  std::array<Thread*, kWarp> lanes{};
  unsigned count = 0;
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if ((latest.mask >> lane & 1U) == 0) continue;
    if (first + lane >= threads_.size() || threads_[first + lane].state == State::done) {
      return violation(name(latest) + " names lane " + std::to_string(lane) + " at " + place(latest.where) +
                       ", which has left the kernel or does not exist");
    }
    Thread& other = threads_[first + lane];
    if (other.state != State::in_warp_operation || other.mask != latest.mask ||
        other.operation != latest.operation || !same_call(other.where, latest.where)) {
      return;  // not here yet
    }
    lanes[count++] = &other;
  }
  finish_warp_operation({lanes.data(), count});
}

void Block::finish_warp_operation(std::span<Thread* const> lanes) {
  const WarpOperation operation = lanes.front()->operation;
  if (operation == WarpOperation::gather) {
    for (Thread* lane : lanes) {
      gathered_[lane->index] = *reinterpret_cast<const LaneRecord*>(lane->value);
      lane->value = reinterpret_cast<uint64_t>(&gathered_[lanes.front()->index]);
      lane->state = State::ready;
    }
    if constexpr (kCounting) counting::warp_meets(lanes.front()->index, lanes.front()->mask);
    return;
  }
  std::array<uint64_t, kWarp> values{};
  uint64_t result = operation == WarpOperation::vote ? 0 : lanes.front()->value;
  for (const Thread* lane : lanes) {
    const auto value = static_cast<int64_t>(lane->value);
    const auto so_far = static_cast<int64_t>(result);
    values[lane->index % kWarp] = lane->value;
    if (operation == WarpOperation::vote && value != 0) result |= uint64_t{1} << (lane->index % kWarp);
    if (operation == WarpOperation::sum && lane != lanes.front()) result += lane->value;
    if (operation == WarpOperation::minimum) result = static_cast<uint64_t>(std::min(value, so_far));
    if (operation == WarpOperation::maximum) result = static_cast<uint64_t>(std::max(value, so_far));
  }
  for (Thread* lane : lanes) {
    if (operation == WarpOperation::exchange && (lane->mask >> lane->source & 1U) == 0) {
      return violation(name(*lane) + " reads lane " + std::to_string(lane->source) + " at " +
                       place(lane->where) + ", which takes no part");
    }
    lane->value = operation == WarpOperation::exchange ? values[lane->source] : result;
    lane->state = State::ready;
  }
  // Only __syncwarp orders memory; shuffles and votes do not.
  if (operation == WarpOperation::synchronise) order(lanes, &meeting_);
  if constexpr (kCounting) counting::warp_meets(lanes.front()->index / kWarp * kWarp, lanes.front()->mask);
}

// The running thread waits until the scheduler has changed its state.
void wait(State state, std::source_location where) {
  running->state = state;
  running->where = where;
  running->fiber->leave();
  if (!launch->failure.empty()) throw LaunchEnded{};
}

// ThreadSanitizer takes memory that is used again for a race and a context that is used again for the same
// thread, so in its builds all blocks stay until the launch is over.
void run_blocks() {
  std::vector<std::unique_ptr<Block>> blocks;
  size_t first_stack = 0;
  for (const unsigned index : turns(volume(launch->grid))) {
    blocks.push_back(std::make_unique<Block>(index, first_stack));
    blocks.back()->run();
    if (!launch->failure.empty()) break;
    if (kRaceDetector) {
      first_stack += volume(launch->block);
    } else {
      blocks.clear();
    }
  }
  order_after(&launch->ended);
}

}  // namespace

void set_schedule(const Schedule& wanted) {
  schedule = wanted;
  shuffler.seed(wanted.seed);
}

void run_grid(Extent grid, Extent block, size_t shared_bytes, void (*kernel)(const void*),
              const void* arguments) {
  Launch current{grid, block, shared_bytes, kernel, arguments, {}};
  launch = &current;
  if constexpr (kCounting) counting::begin_launch(volume(grid));
  run_blocks();
  if constexpr (kCounting) counting::end_launch();
  launch = nullptr;
  view = nullptr;
  if (!current.failure.empty()) throw Violation(current.failure);
}

void block_barrier(std::source_location where) { wait(State::at_barrier, where); }

uint64_t warp_operation(WarpOperation operation, uint32_t mask, uint64_t value, unsigned source,
                        std::source_location where) {
  if ((mask >> (running->index % kWarp) & 1U) == 0) fail("a lane that its own mask does not name", where);
  running->operation = operation;
  running->mask = mask;
  running->value = value;
  running->source = source;
  wait(State::in_warp_operation, where);
  return running->value;
}

const LaneRecord* gather_lanes(const LaneRecord& own, std::source_location where) {
  return reinterpret_cast<const LaneRecord*>(
      warp_operation(WarpOperation::gather, 0xFFFFFFFFU, reinterpret_cast<uint64_t>(&own), 0, where));
}

unsigned char* shared_memory() { return running->block->shared_memory(); }

size_t shared_memory_size() { return launch->shared_bytes; }

PendingCopies& pending_copies() { return running->pending; }

void fail(const char* what, std::source_location where) {
  if (launch->failure.empty()) {
    launch->failure = running->block->name(*running) + ": " + what + " at " + place(where);
  }
  throw LaunchEnded{};
}

}  // namespace giantrabbit::cuda_emulator
