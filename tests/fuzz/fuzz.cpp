// See fuzz.h.
#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "eval/error_text.h"

namespace giantrabbit::fuzz {
namespace {

constexpr std::array<Target, 10> targets = {{{"safetensors", safetensors},
                                             {"problem", problem},
                                             {"items", items},
                                             {"judge", judge},
                                             {"text", text},
                                             {"vocabulary", vocabulary},
                                             {"config", config},
                                             {"checkpoint", checkpoint},
                                             {"metrics", metrics},
                                             {"run", run}}};

struct Scratch {
  Scratch() {
    const std::filesystem::path memory = "/dev/shm";
    const bool in_memory = std::getenv("TMPDIR") == nullptr && std::filesystem::is_directory(memory);
    const auto parent = in_memory ? memory : std::filesystem::temp_directory_path();
    folder = parent / fmt::format("giantrabbit-fuzz-{}", ::getpid());
    std::filesystem::create_directories(folder);
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
  std::filesystem::path folder;
};

}  // namespace

std::span<const Target> all_targets() { return targets; }

const Target& find_target(std::string_view name) {
  const auto found = std::ranges::find(targets, name, [](const Target& target) { return target.name; });
  if (found != targets.end()) return *found;
  std::string known;
  for (const Target& target : targets) known += fmt::format(" {}", target.name);
  throw std::invalid_argument(fmt::format("unknown fuzz target '{}'; known are{}", name, known));
}

void require(bool holds, std::string_view promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %.*s\n", static_cast<int>(promise.size()), promise.data());
  std::abort();
}

void require_sentence(std::string_view text) {
  const auto is_control = [](unsigned char letter) { return letter < 0x20 || letter == 0x7f; };
  require(!text.empty() && std::ranges::none_of(text, is_control),
          fmt::format("an error is one line, not \"{}\"", text));
  (void)nlohmann::json(text).dump();  // throws where it is no UTF-8
}

void require_sentence_of(const std::exception& error) { require_sentence(eval::error_text(error)); }

const std::filesystem::path& scratch_folder() {
  static const Scratch scratch;
  return scratch.folder;
}

std::filesystem::path scratch_file(const std::string& name, std::string_view bytes) {
  const std::filesystem::path file = scratch_folder() / name;
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  require(stream.flush().good(), "the scratch folder can be written");
  return file;
}

std::string with_header(std::string_view bytes, std::string_view data) {
  if (!bytes.starts_with('{')) return std::string(bytes);
  const uint64_t length = bytes.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file.append(bytes).append(data);
}

}  // namespace giantrabbit::fuzz
