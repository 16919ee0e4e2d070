// Names of the normalizers: text in, enumerator out, and back. The two directions share one table.
#include "ops/normalizer.h"

#include <array>
#include <utility>

#include <c10/util/Exception.h>

namespace giantrabbit::ops {
namespace {

constexpr std::array<std::pair<std::string_view, Normalizer>, 3> kNames = {{
    {"softmax", Normalizer::softmax},
    {"sparsemax", Normalizer::sparsemax},
    {"entmax15", Normalizer::entmax15},
}};

}  // namespace

Normalizer parse_normalizer(std::string_view text) {
  for (const auto& [name, normalizer] : kNames) {
    if (text == name) return normalizer;
  }
  TORCH_CHECK(false, "normalizer: expected softmax, sparsemax or entmax15, got '", text, "'");
}

std::string_view normalizer_name(Normalizer normalizer) {
  for (const auto& [name, value] : kNames) {
    if (value == normalizer) return name;
  }
  TORCH_CHECK(false, "normalizer: expected 0, 1 or 2, got ", static_cast<int64_t>(normalizer));
}

}  // namespace giantrabbit::ops
