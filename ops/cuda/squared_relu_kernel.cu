// Launches of squared_relu and its gradient.
#include "ops/cuda/squared_relu_kernel.cuh"

namespace giantrabbit::ops::cuda {

int launch_squared_relu(Dtype dtype, int64_t count, const void* x, void* result, void* stream) {
  return with_type(dtype, [&](auto stored) -> int {
    using Stored = decltype(stored);
    return launch(ceil_div(count, kEntriesPerBlock), kBlockThreads, 0, stream, squared_relu<Stored>, count,
                  static_cast<const Stored*>(x), static_cast<Stored*>(result));
  });
}

int launch_squared_relu_backward(Dtype dtype, int64_t count, const void* grad, const void* x, void* grad_x,
                                 void* stream) {
  return with_type(dtype, [&](auto stored) -> int {
    using Stored = decltype(stored);
    return launch(ceil_div(count, kEntriesPerBlock), kBlockThreads, 0, stream, squared_relu_backward<Stored>,
                  count, static_cast<const Stored*>(grad), static_cast<const Stored*>(x),
                  static_cast<Stored*>(grad_x));
  });
}

}  // namespace giantrabbit::ops::cuda
