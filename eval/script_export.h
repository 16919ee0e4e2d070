// A run as a TorchScript file (model/script/script_module.h). Beside the weights the file carries the words,
// the run's configuration as "config.toml" and what the comparison expected as "verification.json"
// (script_comparison.h).
#pragma once

#include <filesystem>
#include <span>

#include "data/problem.h"
#include "eval/run.h"
#include "eval/script_comparison.h"

namespace giantrabbit::eval {

// The bytes of the file are read back and compared with the run before they are written: a script that is not
// the model throws std::runtime_error and leaves the file as it was. portable: LibTorch's own operators only.
ScriptAgreement export_script(Run& run, std::span<const data::Problem> problems, bool portable,
                              const std::filesystem::path& file);

}  // namespace giantrabbit::eval
