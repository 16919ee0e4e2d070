// The names that script texts may use beside their own: `config.NAME`, a constant by which the compiler takes
// or drops branches, and a few free ones (dtypes, infinity).
#pragma once

#include <string>
#include <unordered_map>

#include <torch/torch.h>

#include "model/config.h"

namespace giantrabbit::model::script {

using Constants = std::unordered_map<std::string, c10::IValue>;

// Of a whole model: sizes, numbers and one flag per choice.
Constants config_constants(const ModelConfig& config);
Constants free_constants();

}  // namespace giantrabbit::model::script
