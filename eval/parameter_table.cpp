// See parameter_table.h.
#include "eval/parameter_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace giantrabbit::eval {

Table parameter_table(const std::string& title, const model::GiantRabbit& network) {
  Table table{title, {"parameter", "shape", "numbers"}, {}, "The output head is tied to embedding.words."};
  for (const auto& parameter : network->named_parameters()) {
    const auto sizes = parameter.value().sizes();
    table.rows.push_back({parameter.key(), fmt::format("{}", fmt::join(sizes.begin(), sizes.end(), "x")),
                          std::to_string(parameter.value().numel())});
  }
  table.rows.push_back({"all", "", std::to_string(network->parameter_count())});
  return table;
}

}  // namespace giantrabbit::eval
