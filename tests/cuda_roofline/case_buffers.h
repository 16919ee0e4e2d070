// Inputs of the cases on the device: random numbers, zeros, results.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <cuda_bf16.h>

#include "ops/cuda/kernels.h"
#include "tests/cuda_emulator/device_buffer.h"

namespace giantrabbit::roofline {

using cuda_emulator::DeviceBuffer;
using ops::Normalizer;
using ops::cuda::Dtype;

template <class Stored>
constexpr Dtype kDtype = Dtype::float32;
template <>
inline constexpr Dtype kDtype<__nv_bfloat16> = Dtype::bfloat16;

inline void check(int error) {
  if (error != 0) throw std::runtime_error("a launch failed with error " + std::to_string(error));
}

inline void put(float& to, float value) { to = value; }
inline void put(__nv_bfloat16& to, float value) { to = __float2bfloat16_rn(value); }

// A long buffer repeats itself: drawing numbers would take longer than the kernels.
template <class Stored>
std::shared_ptr<DeviceBuffer<Stored>> random_buffer(int64_t count, float spread) {
  constexpr size_t kDrawn = 999'983;  // a prime: no two rows begin alike
  static std::mt19937_64 random(1806);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<Stored> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    if (i < kDrawn) {
      put(values[i], normal(random));
    } else {
      values[i] = values[i - kDrawn];
    }
  }
  return std::make_shared<DeviceBuffer<Stored>>(values);
}

template <class Stored>
std::shared_ptr<DeviceBuffer<Stored>> empty_buffer(int64_t count) {
  return std::make_shared<DeviceBuffer<Stored>>(static_cast<size_t>(count));
}

constexpr float kSpread = 2.0F;

template <class T>
std::shared_ptr<DeviceBuffer<T>> filled_buffer(int64_t count, T value) {
  return std::make_shared<DeviceBuffer<T>>(std::vector<T>(static_cast<size_t>(count), value));
}

}  // namespace giantrabbit::roofline
