// A report as files of comma-separated values, one per plot, picture and table, for spreadsheets and scripts.
#pragma once

#include <filesystem>

#include "eval/report.h"

namespace giantrabbit::eval {

// Writes into `folder`, which is made if it is not there: plot-<name>.csv with series, x, y and the interval,
// picture-<name>.csv with the weights, table-<title>.csv with the cells as shown; "-2" and so on behind
// a name that is taken. Every file is written atomically.
void write_csv(const Report& report, const std::filesystem::path& folder);

// What stands before ", " in letters, digits and dashes: "Chain length, mean words before ANS" ->
// "chain-length".
std::string file_stem(const std::string& title);

}  // namespace giantrabbit::eval
