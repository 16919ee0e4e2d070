// A report as JSON, for programs: every share as {rate, count, total, interval}.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "eval/report.h"

namespace giantrabbit::eval {

nlohmann::ordered_json report_json(const Report& report);

}  // namespace giantrabbit::eval
