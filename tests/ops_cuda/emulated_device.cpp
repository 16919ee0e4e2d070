// Lets the tests of sparse_mask_attention and lsh_attention run their CUDA kernels on a machine without a
// device: calls with CPU tensors go to the functions that are registered for CUDA, and the launches of these
// are linked with the emulator. In: any test program of the operators. Out: the same program for the other
// kernels.
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

namespace giantrabbit::ops {
namespace {

// Work of the emulator is done when a launch returns: there is no stream.
struct EmulatedDevice : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CPU> {
  void* getStreamNativeHandle(const c10::Stream) const override { return nullptr; }
};

void call_cuda(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CUDA), stack);
}

// After the libraries have registered theirs.
const bool installed = [] {
  static const EmulatedDevice device;
  c10::impl::DeviceGuardImplRegistrar(c10::DeviceType::CPU, &device);
  static torch::Library library(torch::Library::IMPL, "giantrabbit", c10::DispatchKey::CPU, __FILE__,
                                __LINE__);
  for (const char* name : {"sparse_mask_attention", "sparse_mask_attention_support",
                           "_sparse_mask_attention_forward", "_sparse_mask_attention_backward", "lsh_buckets",
                           "lsh_attention", "_lsh_attention_forward", "_lsh_attention_backward"})
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&call_cuda>());
  return true;
}();

}  // namespace
}  // namespace giantrabbit::ops
