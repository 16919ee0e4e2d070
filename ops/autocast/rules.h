// What autocast rules share. They are templates over the device: its key, its dtype, its tensors.
#pragma once

#include <ATen/autocast_mode.h>
#include <torch/library.h>

namespace giantrabbit::ops {

// Keeps a rule's own calls out of autocast.
template <c10::DeviceType device>
struct WithoutAutocast {
  c10::impl::ExcludeDispatchKeyGuard guard{at::autocast::get_autocast_dispatch_key_from_device_type(device)};
};

// 16-bit tensors of the device; others, and double, as they are.
template <c10::DeviceType device>
at::Tensor in_fp32(const at::Tensor& tensor) {
  return at::autocast::cached_cast(at::kFloat, tensor, device);
}

}  // namespace giantrabbit::ops
