// A run as a TorchScript file (model/script/script_module.h) that was held against the model before it was
// written. Beside the weights the file carries `words`, its configuration as "config.toml" and, as
// "verification.json", what the comparison expected, so that other programs can repeat it:
//   {"forward": [{"prompt", "decoder_tokens", "logits"}, ..], "generate": [{"prompt", "max_tokens",
//   "tokens"}, ..]}
#pragma once

#include <filesystem>
#include <span>

#include "data/problem.h"
#include "eval/run.h"

namespace giantrabbit::eval {

// Logits may differ by this much of the largest one, but at least of 1.
inline constexpr double script_tolerance = 1e-5;

// What the comparison found.
struct ScriptAgreement {
  double logits = 0;     // largest difference over the largest logit, at least 1
  double absolute = 0;   // largest difference
  int64_t problems = 0;  // on which generation was compared
  int64_t equal = 0;     // of them, with the model's own tokens; the others differ where two words tie
};

// Throws std::runtime_error, and leaves the file as it was, when the script is not the model: the script is
// made, read back and compared at several shapes of random words and on the problems. portable: LibTorch's
// own operators only.
ScriptAgreement export_script(Run& run, std::span<const data::Problem> problems, bool portable,
                              const std::filesystem::path& file);

}  // namespace giantrabbit::eval
