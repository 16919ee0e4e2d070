// config.toml <-> OptionSet. Keys are tables and names: [model] width = 128 is "model.width".
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "model/option_set.h"

namespace giantrabbit::eval {

// Sets every key of the file; an unknown key, a wrong type or a value out of range throws model::OptionError
// that names file and key. Tables in `other_tables` are skipped (they belong to another program).
void read_config(const std::filesystem::path& file, model::OptionSet& options,
                 const std::vector<std::string_view>& other_tables = {});
// Everything a file says but the tables named, in one spelling and order: equal texts mean equal settings.
std::string remaining_config(const std::filesystem::path& file, const std::vector<std::string_view>& without);
// The text of a file that repeats these options exactly.
std::string write_config(const model::OptionSet& options);

}  // namespace giantrabbit::eval
