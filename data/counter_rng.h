// Counter-based random numbers: the n-th draw is a pure function of (key, n), so a generator can be rebuilt
// from its key alone, on any machine. Mixing: two rounds of SplitMix64's finaliser over key and counter.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace giantrabbit::data {

class CounterRng {
 public:
  // The parts (task, split, seed, index, ..) are folded into one 64-bit key, order matters.
  explicit CounterRng(std::initializer_list<uint64_t> parts);

  uint64_t next();
  // Uniform in [low, high], both included, without modulo bias.
  int64_t uniform(int64_t low, int64_t high);
  // Uniform in [0, 1) with 53 random bits.
  double unit();
  bool chance(double probability) { return unit() < probability; }

 private:
  uint64_t key_ = 0;
  uint64_t counter_ = 0;
};

}  // namespace giantrabbit::data
