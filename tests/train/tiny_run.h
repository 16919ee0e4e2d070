// The smallest run that does everything a long one does, in a fresh folder; and what it leaves behind.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <torch/torch.h>

#include "data/atomic_file.h"
#include "train/config.h"

namespace giantrabbit::train::tiny {

inline RunConfig run_config() {
  RunConfig config;
  config.model.width = 16;
  config.model.heads = 2;
  config.model.feed_forward = 32;
  config.model.decoder_layers = 1;
  config.model.thought_steps = 1;
  config.model.attention = "sparsemax";
  config.train.steps = 12;
  config.train.batch_tokens = 128;
  config.train.warmup_steps = 4;
  config.train.validation_items = 2;
  config.train.validation_interval = 0.5;
  config.train.checkpoint_seconds = 1e6;
  return config;
}

inline std::filesystem::path fresh_directory(const std::string& name) {
  const std::filesystem::path directory = std::filesystem::path(testing::TempDir()) / ("train_" + name);
  std::filesystem::remove_all(directory);
  return directory;
}

// The same for a text, which is written into the folder above the run's.
inline RunConfig text_run_config() {
  RunConfig config = run_config();
  config.model.encoder = false;
  config.model.thought_steps = 0;
  config.model.position = "rotary";
  config.task.task = "text";
  config.task.text_length = 32;
  config.task.text = (std::filesystem::path(testing::TempDir()) / "train_text.txt").string();
  std::string text;
  for (int i = 0; i < 300; ++i) text += "line " + std::to_string(i * i) + "\n";
  data::write_file_atomically(config.task.text, text);
  return config;
}

inline constexpr const char* last_checkpoint = "checkpoints/step-00000012.safetensors";

// The lines of metrics.jsonl without what the clock decides.
inline std::vector<std::string> timeless_metrics(const std::filesystem::path& directory) {
  std::vector<std::string> lines;
  std::istringstream stream(data::read_file(directory / "metrics.jsonl"));
  for (std::string line; std::getline(stream, line);) {
    auto parsed = nlohmann::json::parse(line);
    parsed.erase("seconds");
    parsed.erase("processor_seconds");
    parsed.erase("tokens_per_second");
    lines.push_back(parsed.dump());
  }
  return lines;
}

template <typename Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace giantrabbit::train::tiny
