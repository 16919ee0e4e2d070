// Weights as safetensors bytes (8-byte header length, JSON header, raw little-endian data; names as in
// named_parameters() and named_buffers()). Reading checks every offset, length, dtype, shape and name before
// any weight is touched and throws std::runtime_error with one sentence; files are read and written by the
// caller.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include <torch/torch.h>

namespace giantrabbit::model {

using NamedTensors = std::map<std::string, torch::Tensor>;
using Metadata = std::map<std::string, std::string>;

std::string to_safetensors(const NamedTensors& tensors, const Metadata& metadata);
NamedTensors from_safetensors(std::string_view bytes, Metadata* metadata = nullptr);

// Parameters and persistent buffers of a module, detached (no copy), and back with strict name and shape
// checks.
NamedTensors state_of(const torch::nn::Module& module);
void load_state(torch::nn::Module& module, const NamedTensors& state);

}  // namespace giantrabbit::model
