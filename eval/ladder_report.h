// The forms of measured ladders, the same in `timing` and in `compare --lengths`.
#pragma once

#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "eval/ladder.h"
#include "eval/table.h"

namespace giantrabbit::eval {

// Time and work against length, and the straight lines with the predicted and the measured crossover; none
// without ladders.
std::vector<Table> ladder_tables(const std::vector<Ladder>& ladders);

nlohmann::ordered_json ladder_json(const Ladder& ladder);

}  // namespace giantrabbit::eval
