// The CUDA kernels live in a library of their own, giantrabbit_ops_cuda, so that this one loads on machines
// without any part of CUDA. Programs in C++ ask for it here; in Python torch.ops.load_library does the same.
#pragma once

#include <string>

namespace giantrabbit::ops {

// Loads the library that lies beside this one, once per process, and with it registers the operators for CUDA
// tensors. Empty if they are there; else why not.
std::string load_cuda_kernels();

}  // namespace giantrabbit::ops
