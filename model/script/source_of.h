// Which text (sources.h) belongs to a module of the model.
#pragma once

#include <string>

#include <torch/torch.h>

#include "model/config.h"

namespace giantrabbit::model::script {

// Empty for a list of modules.
std::string source_of(const torch::nn::Module& module, const ModelConfig& config);

}  // namespace giantrabbit::model::script
