// The smallest run there is: 11 words, width 2, one decoder layer; files made from it stay small enough to be
// changed byte by byte.
#pragma once

#include <string>

#include "data/vocabulary.h"
#include "train/config.h"

namespace giantrabbit::fuzz {

train::RunConfig tiny_config();
data::Vocabulary tiny_vocabulary();
model::GiantRabbit tiny_network();  // always the same weights
// config.toml, vocabulary.json and model.safetensors of such a run.
std::string tiny_config_text();
std::string tiny_vocabulary_text();
std::string tiny_weights();
// What stands behind a safetensors file's header.
std::string data_of(const std::string& safetensors);

}  // namespace giantrabbit::fuzz
