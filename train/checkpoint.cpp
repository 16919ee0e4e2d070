// See checkpoint.h.
#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "data/atomic_file.h"
#include "eval/error_text.h"
#include "model/safetensors.h"

namespace giantrabbit::train {
namespace {

constexpr const char* format_version = "giantrabbit-checkpoint-1";
constexpr std::string_view prefix = "step-";
constexpr std::string_view suffix = ".safetensors";

// Step number of a checkpoint's file name, -1 for other files.
int64_t step_of(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return -1;
  int64_t step = -1;
  const char* begin = name.data() + prefix.size();
  const char* end = name.data() + name.size() - suffix.size();
  const auto [stop, error] = std::from_chars(begin, end, step);
  return error == std::errc() && stop == end ? step : -1;
}

std::vector<std::filesystem::path> checkpoints(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::is_directory(directory)) return files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (step_of(entry.path()) >= 0) files.push_back(entry.path());
  }
  std::ranges::sort(files, {}, step_of);
  return files;
}

// Hexadecimal floating point: reads back to the same bits.
std::string exact(double value) { return fmt::format("{:a}", value); }

const std::string& field(const model::Metadata& metadata, const std::string& name) {
  const auto found = metadata.find(name);
  if (found == metadata.end()) throw std::runtime_error(fmt::format("the counter '{}' is missing", name));
  return found->second;
}

// Counters are written by std::to_string and by exact(); std::from_chars wants hexadecimals without their 0x.
// No counter is negative, but a sum of losses may be so by rounding.
template <typename T, typename... Format>
T number(const model::Metadata& metadata, const std::string& name, std::string_view text, Format... format) {
  T value{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, format...);
  const bool is_read = error == std::errc() && stop == text.data() + text.size();
  const bool in_range =
      std::isfinite(static_cast<double>(value)) && (value >= T{} || name == "interval_loss");
  if (!is_read || !in_range) {
    throw std::runtime_error(fmt::format("the counter '{}' is '{}'", name, field(metadata, name)));
  }
  return value;
}

double real(const model::Metadata& metadata, const std::string& name) {
  std::string text = field(metadata, name);
  if (const size_t mark = text.find("0x"); mark != std::string::npos) text.erase(mark, 2);
  return number<double>(metadata, name, text, std::chars_format::hex);
}

template <typename T>
T whole(const model::Metadata& metadata, const std::string& name) {
  return number<T>(metadata, name, field(metadata, name));
}

Counters counters_of(const model::Metadata& metadata) {
  return {whole<int64_t>(metadata, "step"),
          whole<int64_t>(metadata, "tokens"),
          real(metadata, "seconds"),
          real(metadata, "processor_seconds"),
          {whole<uint64_t>(metadata, "pool"), whole<uint64_t>(metadata, "batch")},
          real(metadata, "next_validation"),
          whole<int64_t>(metadata, "validated_step"),
          real(metadata, "interval_start"),
          real(metadata, "interval_loss"),
          whole<int64_t>(metadata, "interval_steps"),
          whole<int64_t>(metadata, "interval_tokens")};
}

}  // namespace

void save_checkpoint(const std::filesystem::path& directory, const model::GiantRabbit& network,
                     const Optimizer& optimizer, const Counters& counters) {
  model::NamedTensors state;
  for (const auto& [name, tensor] : model::state_of(*network)) state["model." + name] = tensor;
  optimizer.save(state);
  const model::Metadata metadata = {{"format", format_version},
                                    {"step", std::to_string(counters.step)},
                                    {"tokens", std::to_string(counters.tokens)},
                                    {"seconds", exact(counters.seconds)},
                                    {"processor_seconds", exact(counters.processor_seconds)},
                                    {"pool", std::to_string(counters.position.pool)},
                                    {"batch", std::to_string(counters.position.batch)},
                                    {"next_validation", exact(counters.next_validation)},
                                    {"validated_step", std::to_string(counters.validated_step)},
                                    {"interval_start", exact(counters.interval_start)},
                                    {"interval_loss", exact(counters.interval_loss)},
                                    {"interval_steps", std::to_string(counters.interval_steps)},
                                    {"interval_tokens", std::to_string(counters.interval_tokens)}};
  std::filesystem::create_directories(directory);
  const std::string name = fmt::format("{}{:08}{}", prefix, counters.step, suffix);
  data::write_file_atomically(directory / name, model::to_safetensors(state, metadata));
  const auto files = checkpoints(directory);
  for (size_t i = 0; i + 2 < files.size(); ++i) std::filesystem::remove(files[i]);
}

std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& directory) {
  const auto files = checkpoints(directory);
  return files.empty() ? std::nullopt : std::optional(files.back());
}

void require_room_for(const std::filesystem::path& file, int64_t weights) {
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(file));
  if (weights > bytes / static_cast<int64_t>(sizeof(float))) {
    throw std::runtime_error(fmt::format(
        "{}: the configuration asks for a model of at least {} weights, {} bytes cannot hold it (damaged?)",
        file.string(), weights, bytes));
  }
}

Counters load_checkpoint(const std::filesystem::path& file, model::GiantRabbit& network, Optimizer& optimizer,
                         data::Batcher& batcher) {
  try {
    model::Metadata metadata;
    const model::NamedTensors all = model::from_safetensors(data::read_file(file), &metadata);
    if (metadata["format"] != format_version) {
      throw std::runtime_error(fmt::format("not a checkpoint of this program (format '{}', expected '{}')",
                                           metadata["format"], format_version));
    }
    model::NamedTensors weights;
    for (const auto& [name, tensor] : all) {
      if (name.starts_with("model.")) weights[name.substr(6)] = tensor;
    }
    model::load_state(*network, weights);
    optimizer.load(all);
    const Counters counters = counters_of(metadata);
    batcher.seek(counters.position);
    return counters;
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("{}: {}", file.string(), eval::error_text(error)));
  }
}

}  // namespace giantrabbit::train
