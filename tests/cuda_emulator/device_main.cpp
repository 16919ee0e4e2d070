// main() of tests that run on a device. Without one they have nothing to say: a sentence, and the exit code
// that CTest counts as skipped.
#include <cstdio>

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "tests/cuda_emulator/emulator.h"

namespace giantrabbit::cuda_emulator {

// A device chooses its own order: what a test runs under every schedule runs as often as there are some.
void set_schedule(const Schedule&) {}

}  // namespace giantrabbit::cuda_emulator

int main(int count, char** arguments) {
  constexpr int kSkipped = 77;
  ::testing::InitGoogleTest(&count, arguments);
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("no CUDA device, nothing is tested: %s\n", cudaGetErrorString(error));
    return kSkipped;
  }
  cudaDeviceProp device{};
  if (cudaGetDeviceProperties(&device, 0) == cudaSuccess)
    std::printf("on %s, compute capability %d.%d\n", device.name, device.major, device.minor);
  return RUN_ALL_TESTS();
}
