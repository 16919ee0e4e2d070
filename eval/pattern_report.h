// The forms of compared patterns: a table, a plot and JSON with the same figures.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "eval/patterns.h"
#include "eval/plot.h"
#include "eval/table.h"

namespace giantrabbit::eval {

// `subject`: a clause, "RUN on 100 problems of task copy, test split".
Table pattern_table(const PatternReport& report, const std::string& subject);
// Recall of the true support and right answers against rounds, two series a pattern.
Plot pattern_plot(const PatternReport& report, const std::string& subject);
nlohmann::ordered_json pattern_json(const PatternReport& report);

}  // namespace giantrabbit::eval
