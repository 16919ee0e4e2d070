// The library of CUDA kernels loads on a machine without a device and registers what has a CUDA kernel; CUDA
// tensors that cannot be computed with are refused by name.
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "ops/cuda_kernels.h"
#include "ops/sparsemax.h"

namespace giantrabbit::ops {
namespace {

// Empty, and on a device that LibTorch does not know: its library for CUDA is not loaded here.
at::Tensor tensor_elsewhere() {
  c10::Storage none(c10::Storage::use_byte_size_t(), 0, c10::DataPtr(nullptr, c10::Device(c10::kCUDA, 0)),
                    nullptr, false);
  return at::detail::make_tensor<c10::TensorImpl>(
      std::move(none), c10::DispatchKeySet(c10::DispatchKey::CUDA), caffe2::TypeMeta::Make<float>());
}

std::string refusal() {
  try {
    sparsemax(tensor_elsewhere(), -1);
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return {};
}

TEST(CudaRegistrationTest, LoadsAndRegisters) {
  const auto has_kernel = [](const char* name, const char* overload) {
    return c10::Dispatcher::singleton()
        .findSchemaOrThrow((std::string("giantrabbit::") + name).c_str(), overload)
        .hasKernelForDispatchKey(c10::DispatchKey::CUDA);
  };
  EXPECT_FALSE(has_kernel("sparsemax", ""));
  EXPECT_NE(refusal().find("'giantrabbit::sparsemax' with arguments from the 'CUDA' backend"),
            std::string::npos)
      << refusal();
  ASSERT_EQ(load_cuda_kernels(), "");
  for (const char* name : {"sparsemax", "entmax15", "_sparsemax_backward", "_entmax15_backward",
                           "sparsemax_loss", "entmax15_loss", "_sparsemax_loss_backward", "squared_relu",
                           "_squared_relu_backward", "sparse_mask_attention", "sparse_mask_attention_support",
                           "_sparse_mask_attention_forward", "_sparse_mask_attention_backward", "lsh_buckets",
                           "lsh_attention", "_lsh_attention_forward", "_lsh_attention_backward"}) {
    EXPECT_TRUE(has_kernel(name, "")) << name;
  }
  for (const char* name : {"sparsemax", "entmax15", "_sparsemax_backward", "_entmax15_backward"})
    EXPECT_TRUE(has_kernel(name, "out")) << name;
  EXPECT_NE(refusal().find("not linked with support for cuda devices"), std::string::npos) << refusal();
}

}  // namespace
}  // namespace giantrabbit::ops
