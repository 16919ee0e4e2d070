// Builds what giantrabbit-train would leave behind, without training.
#include "tiny_run.h"

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "data/atomic_file.h"
#include "eval/config_file.h"
#include "eval/problem_set.h"
#include "model/safetensors.h"

namespace giantrabbit::eval {

model::ModelConfig tiny_config() {
  model::ModelConfig config;
  config.width = 16;
  config.heads = 2;
  config.feed_forward = 32;
  config.encoder_layers = 1;
  config.decoder_layers = 2;
  config.thought_steps = 1;
  return config;
}

model::GiantRabbit tiny_network(const model::ModelConfig& config, uint64_t seed) {
  torch::manual_seed(seed);
  model::GiantRabbit network(config, token_traits(data::Vocabulary()));
  const torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : network->parameters()) parameter.normal_(0, 0.3);
  network->eval();
  return network;
}

std::filesystem::path write_tiny_run(const std::string& name, const model::ModelConfig& config,
                                     uint64_t seed) {
  const std::filesystem::path directory = std::filesystem::path(testing::TempDir()) / name;
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  model::ModelConfig written = config;
  TaskConfig task;
  model::OptionSet options;
  written.bind(options);
  task.bind(options);
  data::write_file_atomically(directory / "config.toml", write_config(options));
  data::Vocabulary().save(directory / "vocabulary.json");
  const model::GiantRabbit network = tiny_network(config, seed);
  data::write_file_atomically(directory / "model.safetensors",
                              model::to_safetensors(model::state_of(*network), {}));
  return directory;
}

std::vector<data::Problem> some_problems(int64_t count) {
  return draw_problems("row-reduction", "test", 1, count).problems;
}

}  // namespace giantrabbit::eval
