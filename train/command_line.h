// The command line of giantrabbit-train: every option of RunConfig under its last name (model.keep_fraction
// is
// --keep-fraction), --set for full keys, --config for a file, --out and --resume. Later wins: defaults, file,
// flags.
#pragma once

#include <filesystem>
#include <string>

#include "train/config.h"

namespace giantrabbit::train {

struct CommandLine {
  RunConfig config;
  std::filesystem::path out;
  bool resume = false;
  std::string help;  // not empty: print it and leave
};

// Throws model::OptionError for anything that is wrong with the usage. With --resume and without --config the
// configuration of the run in --out is the starting point.
CommandLine parse_command_line(int argc, const char* const* argv);

}  // namespace giantrabbit::train
