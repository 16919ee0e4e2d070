// In: the parts of a key and a running counter. Out: 64 random bits per count. Kept invariant: draw n depends
// on (key, n) alone and uses only unsigned 64-bit arithmetic, so it is the same on every machine.
#include "data/counter_rng.h"

#include <stdexcept>

namespace giantrabbit::data {
namespace {

constexpr uint64_t golden_gamma = 0x9e3779b97f4a7c15;

// SplitMix64's finaliser.
uint64_t mix(uint64_t bits) {
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  return bits ^ (bits >> 31);
}

}  // namespace

CounterRng::CounterRng(std::initializer_list<uint64_t> parts) {
  for (const uint64_t part : parts) key_ = mix(mix(key_ + golden_gamma) ^ (part + golden_gamma));
}

uint64_t CounterRng::next() {
  ++counter_;
  return mix(mix(key_ + counter_ * golden_gamma) ^ key_);
}

int64_t CounterRng::uniform(int64_t low, int64_t high) {
  if (low > high) throw std::invalid_argument("counter_rng: uniform(low, high) needs low <= high");
  const uint64_t count = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
  if (count == 0) return static_cast<int64_t>(next());
  // The lowest 2^64 mod count draws are dropped, so that every remainder is equally likely.
  const uint64_t dropped = (0 - count) % count;
  uint64_t bits = next();
  while (bits < dropped) bits = next();
  return static_cast<int64_t>(static_cast<uint64_t>(low) + bits % count);
}

double CounterRng::unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

}  // namespace giantrabbit::data
