// Items in the formats that their communities publish. In: a line of text or a JSON object. Out: a problem of
// our families. Kept invariant: an item whose own answer is not right by exact computation is refused,
// because then it means something else than we read. All functions throw ProblemError.
#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "data/problem.h"

namespace giantrabbit::data {

// "8 3 * 4 5||chain #### answer": digits least significant first, separated by blanks. The chain is not read.
Problem read_multiplication_line(std::string_view line);
// "label<TAB>expression", or the columns the other way round.
Problem read_list_ops_line(std::string_view line);
bool has_list_ops_label(std::string_view line);  // false for the title of a table
// {"question": "Every A is a B. Tom is a A. Is Tom a B or C?", "answer": "Tom is a B.", "steps": [..]}: a
// question about a graph of statements. The names become nodes 0, 1, .. in their order; the steps are not
// read.
Problem read_graph_question(const nlohmann::json& item);

}  // namespace giantrabbit::data
