// A function on a stack of its own that can be left and entered again (Boost.Context), known to the
// sanitizers. The scheduler enters fibers; a fiber leaves to the scheduler. Every fiber must have run to its
// end before it is destroyed.
#pragma once

#include <cstddef>

#include <boost/context/fiber.hpp>

namespace giantrabbit::cuda_emulator {

// Memory for one stack, with memory below that cannot be touched: overflow ends the program at its place,
// also that of a frame which begins far below the stack's end.
class Stack {
 public:
  static constexpr size_t kSize = size_t{128} << 10;
  static constexpr size_t kGuard = size_t{1} << 20;  // a frame is smaller
  Stack();
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  std::byte* bottom() const { return bottom_; }

 private:
  std::byte* bottom_;
};

class Fiber {
 public:
  Fiber(const Stack& stack, void (*body)(void*), void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void enter();  // from the scheduler: returns once the fiber leaves or ends
  void leave();  // from the fiber itself: returns once it is entered again
  void* race_context() const { return race_context_; }

 private:
  boost::context::fiber run(boost::context::fiber&& caller);

  const Stack* stack_;
  void (*body_)(void*);
  void* argument_;
  boost::context::fiber inside_;   // where the fiber goes on
  boost::context::fiber outside_;  // where the scheduler goes on
  void* race_context_;
  void* outside_race_context_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_stack_size_ = 0;
};

}  // namespace giantrabbit::cuda_emulator
