// From tensors to the kernels' plain arguments (kernels.h): what every file that registers a CUDA kernel
// needs. Includes no CUDA header: device and stream are LibTorch's own, so one build serves a LibTorch
// without CUDA too.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include "ops/cuda/kernels.h"

namespace giantrabbit::ops::cuda {

inline Dtype dtype_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return Dtype::float32;
    case at::kDouble:
      return Dtype::float64;
    case at::kBFloat16:
      return Dtype::bfloat16;
    case at::kHalf:
      return Dtype::float16;
    default:
      TORCH_CHECK(false, "no CUDA kernel computes with ", tensor.scalar_type());
  }
}

// The stream that LibTorch works on now, as the launches want it.
inline void* current_stream(const at::Tensor& tensor) {
  const c10::impl::VirtualGuardImpl device(tensor.device().type());
  return device.getStream(tensor.device()).native_handle();
}

inline void check_launch(const char* op, int error) {
  TORCH_CHECK(error == 0, op, ": the CUDA launch failed with error ", error);
}

// Rows along the last dimension of a contiguous tensor.
inline Rows rows_of(const at::Tensor& tensor) {
  const int64_t length = tensor.size(-1);
  return {length == 0 ? 0 : tensor.numel() / length, length};
}

}  // namespace giantrabbit::ops::cuda
