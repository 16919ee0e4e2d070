// How many blocks of a kernel a multiprocessor holds at once, by the toolkit's own rules (cuda_occupancy.h),
// which need no device. In, one line per kernel: compute capability ("80"), threads per block, registers per
// thread, static and dynamic shared memory in bytes. Out: the blocks, one number per line, and an error where
// a line is none of that.
#include <iostream>
#include <map>
#include <string>

#include <cuda_occupancy.h>

namespace {

cudaOccDeviceProp device(int major, int minor, int multiprocessors, size_t shared_memory) {
  cudaOccDeviceProp properties;
  properties.computeMajor = major;
  properties.computeMinor = minor;
  properties.maxThreadsPerBlock = 1024;
  properties.maxThreadsPerMultiprocessor = 2048;
  properties.regsPerBlock = 65536;
  properties.regsPerMultiprocessor = 65536;
  properties.warpSize = 32;
  properties.sharedMemPerBlock = size_t{48} << 10;
  properties.sharedMemPerMultiprocessor = shared_memory;
  properties.numSms = multiprocessors;
  properties.reservedSharedMemPerBlock = 1024;
  properties.sharedMemPerBlockOptin = shared_memory - properties.reservedSharedMemPerBlock;
  return properties;
}

// A100; H100 and H200, which have the same multiprocessors.
const std::map<std::string, cudaOccDeviceProp> kDevices{{"80", device(8, 0, 108, size_t{164} << 10)},
                                                        {"90", device(9, 0, 132, size_t{228} << 10)}};

}  // namespace

int main() {
  std::string architecture;
  int threads = 0;
  int registers = 0;
  size_t fixed = 0;
  size_t dynamic = 0;
  while (std::cin >> architecture >> threads >> registers >> fixed >> dynamic) {
    const auto found = kDevices.find(architecture);
    if (found == kDevices.end()) break;
    cudaOccFuncAttributes kernel;
    kernel.maxThreadsPerBlock = 1024;
    kernel.numRegs = registers;
    kernel.sharedSizeBytes = fixed;
    kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
    kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    kernel.maxDynamicSharedSizeBytes = found->second.sharedMemPerBlockOptin;
    const cudaOccDeviceState state;
    cudaOccResult result;
    const cudaOccError error =
        cudaOccMaxActiveBlocksPerMultiprocessor(&result, &found->second, &kernel, &state, threads, dynamic);
    if (error != CUDA_OCC_SUCCESS) break;
    std::cout << result.activeBlocksPerMultiprocessor << '\n';
  }
  if (std::cin.eof()) return 0;
  std::cerr << "occupancy: cannot answer for capability '" << architecture << "', " << threads << " threads, "
            << registers << " registers, " << dynamic << " bytes\n";
  return 1;
}
