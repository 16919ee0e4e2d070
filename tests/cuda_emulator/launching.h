// Launches of test kernels, under one schedule or under all of them.
#pragma once

#include <string>
#include <utility>

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include "tests/cuda_emulator/emulator.h"

namespace giantrabbit::cuda_emulator {

struct Shape {
  unsigned blocks = 1;
  unsigned threads = 32;
  size_t shared_bytes = 0;
};

template <class... Parameters, class... Arguments>
void launch_kernel(const Shape& shape, void (*kernel)(Parameters...), Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.blocks);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.shared_bytes;
  ASSERT_EQ(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), cudaSuccess);
}

// What the launch was stopped for; empty if it was not.
template <class Function>
std::string violation_of(const Function& function) {
  try {
    function();
  } catch (const Violation& violation) {
    return violation.what();
  }
  return {};
}

template <class Function>
void under_every_schedule(const Function& function) {
  for (const Schedule& schedule : kSchedules) {
    SCOPED_TRACE("schedule " + std::to_string(static_cast<int>(schedule.order)) + ", seed " +
                 std::to_string(schedule.seed));
    set_schedule(schedule);
    function();
  }
}

}  // namespace giantrabbit::cuda_emulator
