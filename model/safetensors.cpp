// The safetensors container, and module state by name; see safetensors.h. Every number of a file is checked
// before it is used: files come from anywhere.
#include "model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace giantrabbit::model {
namespace {

constexpr uint64_t max_header = 100'000'000;  // the format's own limit

struct Dtype {
  const char* name;
  torch::ScalarType type;
};
constexpr Dtype dtypes[] = {{"F64", torch::kFloat64},   {"F32", torch::kFloat32}, {"F16", torch::kFloat16},
                            {"BF16", torch::kBFloat16}, {"I64", torch::kInt64},   {"I32", torch::kInt32},
                            {"U8", torch::kUInt8},      {"I8", torch::kInt8},     {"BOOL", torch::kBool}};

[[noreturn]] void refuse(const std::string& reason) {
  throw std::runtime_error("not a safetensors file: " + reason);
}

const char* dtype_name(torch::ScalarType type) {
  for (const Dtype& dtype : dtypes) {
    if (dtype.type == type) return dtype.name;
  }
  throw std::runtime_error(fmt::format("safetensors cannot hold the type {}", c10::toString(type)));
}

torch::ScalarType dtype_of(const std::string& name) {
  for (const Dtype& dtype : dtypes) {
    if (name == dtype.name) return dtype.type;
  }
  refuse(fmt::format("unknown dtype '{}'", name));
}

// Elements of a shape; refuses negative sizes and products that overflow.
int64_t checked_count(const std::vector<int64_t>& shape, const std::string& name) {
  constexpr int64_t most = std::numeric_limits<int64_t>::max() / 16;  // bytes fit as well
  int64_t extent = 1;  // as if empty dimensions had one element: strides are computed from it
  for (const int64_t size : shape) {
    if (size < 0) refuse(fmt::format("tensor '{}' has a negative size", name));
    if (size != 0 && extent > most / size) refuse(fmt::format("tensor '{}' is larger than any file", name));
    extent *= std::max<int64_t>(size, 1);
  }
  return std::ranges::find(shape, 0) == shape.end() ? extent : 0;
}

using Span = std::pair<uint64_t, uint64_t>;  // first byte and end of a tensor's data

// JSON numbers convert to integers silently; 2.5 is no size.
void check_integers(const nlohmann::json& list, const std::string& name) {
  for (const auto& number : list) {
    if (!number.is_number_integer()) refuse(fmt::format("tensor '{}' has a size that is no integer", name));
  }
}

torch::Tensor read_tensor(const std::string& name, const nlohmann::json& entry, std::string_view data,
                          std::vector<Span>& spans) {
  const torch::ScalarType type = dtype_of(entry.at("dtype").get<std::string>());
  check_integers(entry.at("shape"), name);
  check_integers(entry.at("data_offsets"), name);
  const auto shape = entry.at("shape").get<std::vector<int64_t>>();
  const auto offsets = entry.at("data_offsets").get<std::vector<uint64_t>>();
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data.size()) {
    refuse(fmt::format("tensor '{}' lies outside the {} bytes of data", name, data.size()));
  }
  const auto length = static_cast<int64_t>(offsets[1] - offsets[0]);
  const auto element = static_cast<int64_t>(c10::elementSize(type));
  if (checked_count(shape, name) * element != length) {
    refuse(fmt::format("tensor '{}' has {} bytes, its shape needs another number", name, length));
  }
  spans.emplace_back(offsets[0], offsets[1]);
  const std::string_view bytes = data.substr(offsets[0], offsets[1] - offsets[0]);
  if (type == torch::kBool && std::ranges::any_of(bytes, [](char c) { return c != 0 && c != 1; })) {
    refuse(fmt::format("tensor '{}' has a byte that is neither true nor false", name));
  }
  torch::Tensor tensor = torch::empty(shape, type);
  if (length > 0) std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

// The format's rule: the tensors cover the data exactly, without overlaps and gaps.
void check_cover(std::vector<Span> spans, size_t size) {
  std::ranges::sort(spans);
  uint64_t end = 0;
  for (const auto& [first, last] : spans) {
    if (first != end) refuse(fmt::format("the tensors overlap or leave a gap at byte {} of the data", end));
    end = last;
  }
  if (end != size) refuse(fmt::format("the tensors leave a gap: {} of {} bytes of data are used", end, size));
}

}  // namespace

std::string to_safetensors(const NamedTensors& tensors, const Metadata& metadata) {
  auto header = nlohmann::ordered_json::object();  // {} without tensors, not null
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const torch::Tensor plain = tensor.detach().cpu().contiguous();
    const size_t begin = data.size();
    data.append(static_cast<const char*>(plain.data_ptr()), plain.nbytes());
    header[name] = {{"dtype", dtype_name(plain.scalar_type())},
                    {"shape", plain.sizes().vec()},
                    {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // the format aligns the data to 8 bytes
  const uint64_t length = text.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof(length));
  return bytes + text + data;
}

NamedTensors from_safetensors(std::string_view bytes, Metadata* metadata) {
  uint64_t length = 0;
  if (bytes.size() < sizeof(length)) refuse(fmt::format("{} bytes are too few", bytes.size()));
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > max_header || length > bytes.size() - sizeof(length)) {
    refuse(fmt::format("the header claims {} bytes, the file has {}", length, bytes.size()));
  }
  const std::string_view data = bytes.substr(sizeof(length) + length);
  NamedTensors tensors;
  std::vector<Span> spans;
  try {
    const auto header = nlohmann::json::parse(bytes.substr(sizeof(length), length));
    if (!header.is_object()) refuse("the header is no JSON object");
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        const auto texts = entry.get<Metadata>();  // checked even when nobody asks for it
        if (metadata != nullptr) *metadata = texts;
      } else {
        tensors[name] = read_tensor(name, entry, data, spans);
      }
    }
  } catch (const nlohmann::json::exception& error) {
    refuse(fmt::format("the header is damaged ({})", error.what()));
  }
  check_cover(std::move(spans), data.size());
  return tensors;
}

NamedTensors state_of(const torch::nn::Module& module) {
  NamedTensors state;
  for (const auto& item : module.named_parameters()) state[item.key()] = item.value().detach();
  for (const auto& item : module.named_buffers()) state[item.key()] = item.value();
  return state;
}

void load_state(torch::nn::Module& module, const NamedTensors& state) {
  const NamedTensors own = state_of(module);
  for (const auto& [name, tensor] : own) {
    const auto found = state.find(name);
    if (found == state.end()) throw std::runtime_error(fmt::format("weights: '{}' is missing", name));
    if (found->second.sizes() != tensor.sizes() || found->second.scalar_type() != tensor.scalar_type()) {
      throw std::runtime_error(
          fmt::format("weights: '{}' needs shape [{}] and type {}, got [{}] and {}", name,
                      fmt::join(tensor.sizes(), ", "), c10::toString(tensor.scalar_type()),
                      fmt::join(found->second.sizes(), ", "), c10::toString(found->second.scalar_type())));
    }
  }
  for (const auto& [name, tensor] : state) {
    if (!own.contains(name))
      throw std::runtime_error(fmt::format("weights: '{}' is not part of this model", name));
  }
  const torch::NoGradGuard guard;
  for (auto [name, tensor] : own) tensor.copy_(state.at(name));
}

}  // namespace giantrabbit::model
