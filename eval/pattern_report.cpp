// Compared patterns -> table, plot, JSON; see pattern_report.h.
#include "eval/pattern_report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "eval/report.h"

namespace giantrabbit::eval {
namespace {

std::string percent(double share) { return fmt::format("{:.1f}", 100 * share); }

std::string support_text(const PatternReport& report) {
  return report.mass < 1
             ? fmt::format("the heaviest keys with {:.0f}% of the exact weight", 100 * report.mass)
             : std::string("the keys with an exact weight");
}

}  // namespace

Table pattern_table(const PatternReport& report, const std::string& subject) {
  Table table{
      "Patterns of shared queries and keys: " + subject,
      {"pattern", "rounds", "keys", "support, %", "weight, %", "error", "right, %", "right words, %", "ms",
       "time / full", "MB"},
      {},
      fmt::format(
          "Keys: that a query sees, each once. Support, weight: what of {} and of all exact weight lies on "
          "them. Error: of the attention's output, relative. These over all shared layers and heads of {} "
          "sequences whose solutions were forced; right answers and words: the run decoded with the "
          "pattern. ms, MB: forward and backward of one layer, {} positions, processor time and tensors.",
          support_text(report), report.traced, report.longest)};
  for (const PatternLine& line : report.lines) {
    table.rows.push_back({line.pattern, line.rounds == 0 ? "-" : std::to_string(line.rounds),
                          fmt::format("{:.1f}", line.keys), percent(line.recall), percent(line.mass),
                          fmt::format("{:.3f}", line.error), percent_with_interval(line.exact),
                          percent(line.right_words), fmt::format("{:.3f}", 1e3 * line.seconds),
                          fmt::format("{:.2f}", line.time_ratio),
                          fmt::format("{:.2f}", static_cast<double>(line.peak_bytes) / 1e6)});
  }
  return table;
}

Plot pattern_plot(const PatternReport& report, const std::string& subject) {
  Plot plot;
  plot.name = "patterns";
  plot.title = "Patterns of shared queries and keys: " + subject;
  plot.x_label = "rounds";
  plot.y_label = "%";
  plot.log_x = true;
  plot.y_range = Interval{0, 105};
  plot.note = fmt::format("Filled: found of {}. Open: right answers with 95% Wilson intervals.",
                          support_text(report));
  const PatternLine& full = report.lines.front();
  PlotSeries all_keys{"all earlier keys, right", {}, true, false};
  for (const char* pattern : {"lsh", "window", "random"}) {
    PlotSeries found{fmt::format("{}, support", pattern), {}};
    PlotSeries right{fmt::format("{}, right", pattern), {}, true, true, true};
    for (const PatternLine& line : report.lines) {
      if (line.pattern != pattern) continue;
      const auto x = static_cast<double>(line.rounds);
      found.points.push_back({x, 100 * line.recall});
      right.points.push_back(
          {x, 100 * line.exact.rate(), 100 * line.exact.interval.low, 100 * line.exact.interval.high});
      if (line.pattern == "lsh") all_keys.points.push_back({x, 100 * full.exact.rate()});
    }
    plot.series.push_back(std::move(found));
    plot.series.push_back(std::move(right));
  }
  plot.series.push_back(std::move(all_keys));
  return plot;
}

nlohmann::ordered_json pattern_json(const PatternReport& report) {
  using json = nlohmann::ordered_json;
  json lines = json::array();
  for (const PatternLine& line : report.lines) {
    lines.push_back({{"pattern", line.pattern},
                     {"rounds", line.rounds},
                     {"keys_per_query", line.keys},
                     {"support_recall", line.recall},
                     {"weight_found", line.mass},
                     {"output_error", line.error},
                     {"exact",
                      {{"rate", line.exact.rate()},
                       {"count", line.exact.count},
                       {"total", line.exact.total},
                       {"interval", {line.exact.interval.low, line.exact.interval.high}}}},
                     {"right_words", line.right_words},
                     {"seconds", line.seconds},
                     {"time_ratio", line.time_ratio},
                     {"peak_bytes", line.peak_bytes}});
  }
  return {{"traced", report.traced},
          {"timed_positions", report.longest},
          {"support_mass", report.mass},
          {"patterns", std::move(lines)}};
}

}  // namespace giantrabbit::eval
