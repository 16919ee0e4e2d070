// Matrix products in bfloat16 for the length of a scope.
#pragma once

#include <ATen/autocast_mode.h>

namespace giantrabbit::train {

// While it lives, LibTorch computes matrix products (and their gradients, later) in bfloat16.
class MixedPrecision {
 public:
  explicit MixedPrecision(bool enabled) : enabled_(enabled) {
    if (!enabled_) return;
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, true);
  }
  MixedPrecision(const MixedPrecision&) = delete;
  MixedPrecision& operator=(const MixedPrecision&) = delete;
  ~MixedPrecision() {
    if (!enabled_) return;
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();  // rounded weights, which the update makes stale
  }

 private:
  bool enabled_;
};

}  // namespace giantrabbit::train
