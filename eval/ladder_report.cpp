// Ladders -> tables and JSON; see ladder_report.h.
#include "eval/ladder_report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace giantrabbit::eval {
namespace {

std::string short_milliseconds(double seconds) { return fmt::format("{:.4g}", 1000 * seconds); }

std::string length_text(const std::optional<double>& length) {
  return length ? fmt::format("{:.0f}", *length) : "none";
}

// Where the second run's line crosses the first's, if that is inside the measured lengths.
std::string crossing_text(const Ladder& first, const Ladder& second) {
  const auto last = static_cast<double>(second.rungs.back().position);
  const std::optional<double> crossing = overtaking(first.line, second.line);
  return length_text(crossing.value_or(last + 1) > last ? std::nullopt : crossing);
}

Table token_table(const std::vector<Ladder>& ladders) {
  Table table{
      "Time of one token against its position, ms",
      {"position", "run", "median", "quartiles", "prefill", "encode", "keys seen", "in 8 bits", "in fp32",
       "values", "kB read"},
      {},
      "Keys, values and kB: self-attention of one token, all layers and heads. Prefill and encode: that "
      "many known tokens at once."};
  for (size_t rung = 0; rung < ladders.front().rungs.size(); ++rung) {
    for (const Ladder& ladder : ladders) {
      const Rung& at = ladder.rungs[rung];
      table.rows.push_back(
          {std::to_string(at.position), ladder.name, short_milliseconds(at.token.median),
           fmt::format("[{}, {}]", short_milliseconds(at.token.low), short_milliseconds(at.token.high)),
           short_milliseconds(at.prefill), short_milliseconds(at.encode),
           fmt::format("{:.0f}", at.work.keys_visible), fmt::format("{:.0f}", at.work.keys_coded),
           fmt::format("{:.0f}", at.work.keys_scored), fmt::format("{:.0f}", at.work.values_read),
           fmt::format("{:.1f}", at.work.bytes_read / 1000)});
    }
  }
  return table;
}

Table line_table(const std::vector<Ladder>& ladders) {
  Table table{
      "Straight lines: ms per token = intercept + slope x position",
      {"run", "intercept, ms", "slope, ms per 1,000", "crossover measured", "predicted",
       "slope of the first / this", "crosses the first's line at"},
      {},
      "Lines are fitted, differences between them not tested; where one does not rise there is no ratio, and "
      "only crossings inside the measured lengths count. Crossover: position where what grows with it costs "
      "as "
      "much as the rest. Predicted from the shape, for dense attention: bytes of weights / bytes of keys and "
      "values per position."};
  const Ladder& first = ladders.front();
  for (const Ladder& ladder : ladders) {
    const bool other = &ladder != &first;
    const bool rising = first.line.slope > 0 && ladder.line.slope > 0;
    table.rows.push_back({ladder.name, short_milliseconds(ladder.line.intercept),
                          short_milliseconds(1000 * ladder.line.slope), length_text(ladder.line.crossover()),
                          fmt::format("{:.0f}", ladder.predicted_crossover),
                          other && rising ? fmt::format("{:.2f}", first.line.slope / ladder.line.slope) : "",
                          other ? crossing_text(first, ladder) : ""});
  }
  return table;
}

}  // namespace

std::vector<Table> ladder_tables(const std::vector<Ladder>& ladders) {
  if (ladders.empty()) return {};
  return {token_table(ladders), line_table(ladders)};
}

nlohmann::ordered_json ladder_json(const Ladder& ladder) {
  using json = nlohmann::ordered_json;
  json rungs = json::array();
  for (const Rung& rung : ladder.rungs) {
    rungs.push_back({{"position", rung.position},
                     {"token_seconds",
                      {{"least", rung.token.least},
                       {"low", rung.token.low},
                       {"median", rung.token.median},
                       {"high", rung.token.high}}},
                     {"prefill_seconds", rung.prefill},
                     {"encode_seconds", rung.encode},
                     {"keys_visible", rung.work.keys_visible},
                     {"keys_coded", rung.work.keys_coded},
                     {"keys_scored", rung.work.keys_scored},
                     {"values_read", rung.work.values_read},
                     {"bytes_read", rung.work.bytes_read}});
  }
  const auto crossover = ladder.line.crossover();
  return {{"name", ladder.name},
          {"rungs", rungs},
          {"intercept_seconds", ladder.line.intercept},
          {"slope_seconds", ladder.line.slope},
          {"crossover", crossover ? json(*crossover) : json()},
          {"predicted_crossover", ladder.predicted_crossover},
          {"weight_bytes", ladder.weight_bytes}};
}

}  // namespace giantrabbit::eval
