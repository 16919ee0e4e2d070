// The library of CUDA kernels loads on a machine without a device and registers what has a CUDA kernel.
#include <string>

#include <gtest/gtest.h>

#include <ATen/core/dispatch/Dispatcher.h>

#include "ops/cuda_kernels.h"

namespace giantrabbit::ops {
namespace {

TEST(CudaRegistrationTest, LoadsAndRegisters) {
  const auto has_kernel = [](const char* name, const char* overload) {
    return c10::Dispatcher::singleton()
        .findSchemaOrThrow((std::string("giantrabbit::") + name).c_str(), overload)
        .hasKernelForDispatchKey(c10::DispatchKey::CUDA);
  };
  EXPECT_FALSE(has_kernel("sparsemax", ""));
  ASSERT_EQ(load_cuda_kernels(), "");
  for (const char* name : {"sparsemax", "entmax15", "_sparsemax_backward", "_entmax15_backward",
                           "sparsemax_loss", "entmax15_loss", "_sparsemax_loss_backward", "squared_relu",
                           "_squared_relu_backward", "sparse_mask_attention", "lsh_buckets", "lsh_attention",
                           "_lsh_attention_forward", "_lsh_attention_backward"}) {
    EXPECT_TRUE(has_kernel(name, "")) << name;
  }
  for (const char* name : {"sparsemax", "entmax15", "_sparsemax_backward", "_entmax15_backward"})
    EXPECT_TRUE(has_kernel(name, "out")) << name;
}

}  // namespace
}  // namespace giantrabbit::ops
