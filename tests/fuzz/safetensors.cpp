// In: a safetensors file. Accepted: tensors and metadata come back the same through a file of our own.
#include "model/safetensors.h"

#include "tests/fuzz/fuzz.h"

namespace giantrabbit::fuzz {

void safetensors(std::string_view bytes) {
  model::NamedTensors tensors;
  model::Metadata metadata;
  if (!accepts([&] { tensors = model::from_safetensors(bytes, &metadata); })) return;
  const std::string written = model::to_safetensors(tensors, metadata);
  model::Metadata same_metadata;
  const model::NamedTensors same = model::from_safetensors(written, &same_metadata);
  require(same_metadata == metadata && same.size() == tensors.size(), "names and metadata come back");
  size_t size = 0;
  for (const auto& [name, tensor] : tensors) {
    size += tensor.nbytes();
    const auto& other = same.at(name);
    require(other.scalar_type() == tensor.scalar_type() && other.sizes() == tensor.sizes(),
            "types and shapes come back");
  }
  require(size <= bytes.size(), "no tensor is larger than the file");
  // The bytes themselves, NaN included.
  require(model::to_safetensors(same, metadata) == written, "values come back");
}

}  // namespace giantrabbit::fuzz
