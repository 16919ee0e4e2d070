// See tiny_run.h.
#include "tests/fuzz/tiny_run.h"

#include <cstring>

#include <nlohmann/json.hpp>

#include "eval/config_file.h"
#include "model/safetensors.h"

namespace giantrabbit::fuzz {

train::RunConfig tiny_config() {
  train::RunConfig config;
  config.task.task = "abc-sort";
  config.task.format = "answer_only";
  config.model.width = 2;
  config.model.heads = 1;
  config.model.feed_forward = 1;
  config.model.encoder = false;
  config.model.encoder_layers = 0;
  config.model.decoder_layers = 1;
  config.model.thought_steps = 0;
  config.model.position = "rotary";
  config.model.number_features = false;
  config.train.steps = 1;
  return config;
}

data::Vocabulary tiny_vocabulary() { return tiny_config().task.vocabulary(); }

model::GiantRabbit tiny_network() {
  torch::manual_seed(1);
  return model::GiantRabbit(tiny_config().model, eval::token_traits(tiny_vocabulary()));
}

std::string tiny_config_text() {
  train::RunConfig config = tiny_config();
  return eval::write_config(config.options());
}

std::string tiny_vocabulary_text() { return nlohmann::json{{"words", tiny_vocabulary().words()}}.dump(); }

std::string tiny_weights() { return model::to_safetensors(model::state_of(*tiny_network()), {}); }

std::string data_of(const std::string& safetensors) {
  uint64_t length = 0;
  std::memcpy(&length, safetensors.data(), sizeof(length));
  return safetensors.substr(sizeof(length) + length);
}

}  // namespace giantrabbit::fuzz
