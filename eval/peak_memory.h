// The memory of a computation as LibTorch's allocator sees it.
#pragma once

#include <cstdint>
#include <functional>

namespace giantrabbit::eval {

// Most bytes that tensors allocated while `call` ran held at a time, by this thread and by the backward
// passes that it runs. Scratch that kernels take past LibTorch's allocator does not count.
int64_t peak_allocated(const std::function<void()>& call);

}  // namespace giantrabbit::eval
