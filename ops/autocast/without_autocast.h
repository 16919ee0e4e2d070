// Keeps a rule's own calls out of autocast. Rules are templates over the device: its key, its dtype, its
// tensors.
#pragma once

#include <ATen/autocast_mode.h>
#include <torch/library.h>

namespace giantrabbit::ops {

template <c10::DeviceType device>
struct WithoutAutocast {
  c10::impl::ExcludeDispatchKeyGuard guard{at::autocast::get_autocast_dispatch_key_from_device_type(device)};
};

}  // namespace giantrabbit::ops
