// A network's parameters by name. In, the network; out, a table of names, shapes and numbers, the sum last.
#pragma once

#include <string>

#include "eval/table.h"
#include "model/giant_rabbit.h"

namespace giantrabbit::eval {

Table parameter_table(const std::string& title, const model::GiantRabbit& network);

}  // namespace giantrabbit::eval
