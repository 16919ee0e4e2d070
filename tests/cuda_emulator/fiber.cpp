// Switches between scheduler and fibers; see fiber.h. The sanitizers hear of every switch just before it
// happens.
#include "tests/cuda_emulator/fiber.h"

#include <cstdlib>
#include <utility>

#include <sys/mman.h>

#include "tests/cuda_emulator/sanitizers.h"

namespace giantrabbit::cuda_emulator {
namespace {

// Lends a Stack to Boost, which wants to allocate.
struct LentStack {
  std::byte* bottom;
  boost::context::stack_context allocate() const {
    boost::context::stack_context context;
    context.size = Stack::kSize;
    context.sp = bottom + Stack::kSize;
    return context;
  }
  void deallocate(boost::context::stack_context&) const {}
};

}  // namespace

Stack::Stack() {
  void* memory = mmap(nullptr, kGuard + kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  bottom_ = static_cast<std::byte*>(memory) + kGuard;
  if (mprotect(bottom_, kSize, PROT_READ | PROT_WRITE) != 0) std::abort();
}

Stack::~Stack() { munmap(bottom_ - kGuard, kGuard + kSize); }

Fiber::Fiber(const Stack& stack, void (*body)(void*), void* argument)
    : stack_(&stack), body_(body), argument_(argument), race_context_(new_race_context()) {
  allow_memory(stack.bottom(), Stack::kSize);  // an earlier fiber may have left red zones behind
  inside_ = boost::context::fiber(std::allocator_arg, LentStack{stack.bottom()},
                                  [this](boost::context::fiber&& caller) { return run(std::move(caller)); });
}

Fiber::~Fiber() { delete_race_context(race_context_); }

void Fiber::enter() {
  void* saved = nullptr;
  outside_race_context_ = cuda_emulator::race_context();
  before_stack_switch(&saved, stack_->bottom(), Stack::kSize);
  enter_race_context(race_context_);
  inside_ = std::move(inside_).resume();
  after_stack_switch(saved, nullptr, nullptr);
}

void Fiber::leave() {
  void* saved = nullptr;
  before_stack_switch(&saved, outside_stack_, outside_stack_size_);
  enter_race_context(outside_race_context_);
  outside_ = std::move(outside_).resume();
  after_stack_switch(saved, &outside_stack_, &outside_stack_size_);
}

boost::context::fiber Fiber::run(boost::context::fiber&& caller) {
  after_stack_switch(nullptr, &outside_stack_, &outside_stack_size_);
  outside_ = std::move(caller);
  body_(argument_);
  before_stack_switch(nullptr, outside_stack_, outside_stack_size_);
  enter_race_context(outside_race_context_);
  return std::move(outside_);
}

}  // namespace giantrabbit::cuda_emulator
