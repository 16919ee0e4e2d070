// Finds the library of CUDA kernels beside the library that this code is in.
#include "ops/cuda_kernels.h"

#include <filesystem>

#include <dlfcn.h>

namespace giantrabbit::ops {
namespace {

std::string load_library_beside() {
  Dl_info own{};
  if (dladdr(reinterpret_cast<const void*>(&load_cuda_kernels), &own) == 0) return "own library not found";
  const std::filesystem::path beside =
      std::filesystem::path(own.dli_fname).parent_path() / "libgiantrabbit_ops_cuda.so";
  if (dlopen(beside.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return {};
  const char* const reason = dlerror();
  return reason != nullptr ? reason : "dlopen failed";
}

}  // namespace

std::string load_cuda_kernels() {
  static const std::string reason = load_library_beside();
  return reason;
}

}  // namespace giantrabbit::ops
