// Report -> plots. Every plot is left out when there is nothing to draw in it.
#include <algorithm>
#include <cctype>
#include <cmath>

#include <fmt/format.h>

#include "eval/report.h"

namespace giantrabbit::eval {
namespace {

constexpr Interval percent_range{0, 103};  // room for markers at 100
constexpr int64_t fewest_outputs = 10;     // behind a point of step validity

// The part of 0 .. 100 that the points and their intervals need, in tens.
Interval fitting_percent_range(const Plot& plot) {
  double low = 100;
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& point : series.points) {
      low = std::min(low, std::isnan(point.low) ? point.y : point.low);
    }
  }
  return {std::max(0.0, 10 * std::floor((low - 2) / 10)), 100 + 0.03 * (100 - low + 10)};
}

Plot named(std::string name, std::string title, std::string x_label, std::string y_label) {
  Plot plot;
  plot.name = std::move(name);
  plot.title = std::move(title);
  plot.x_label = std::move(x_label);
  plot.y_label = std::move(y_label);
  return plot;
}

PlotPoint percent_point(double x, const Share& share) {
  return {x, 100 * share.rate(), 100 * share.interval.low, 100 * share.interval.high};
}

Plot accuracy_plot(const Report& report) {
  Plot plot = named("accuracy", "Accuracy", "", "problems, %");
  plot.note = fmt::format("95% Wilson intervals, {} problems.", report.runs.front().all.exact.total);
  PlotSeries right{"right answer", {}, false, true};
  PlotSeries valid{"right, every step valid", {}, false, true};
  for (const RunReport& run : report.runs) {
    const auto x = static_cast<double>(plot.categories.size());
    plot.categories.push_back(run.label);
    right.points.push_back(percent_point(x, run.all.exact));
    valid.points.push_back(percent_point(x, run.all.chain_valid));
  }
  plot.series = {std::move(right), std::move(valid)};
  plot.y_range = fitting_percent_range(plot);
  return plot;
}

// "By family" -> "by family"
std::string lower_first(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

Plot group_plot(const Report& report, size_t index) {
  const Grouping& grouping = report.groupings[index];
  Plot plot = named(fmt::format("accuracy-group-{}", index + 1),
                    "Right answers " + lower_first(grouping.title), "", "right answers, %");
  plot.note = "95% Wilson intervals.";
  for (const RunReport& run : report.runs) {
    PlotSeries series{run.label, {}, false, true};
    double x = 0;
    for (size_t group = 0; group < grouping.groups.size(); ++group) {
      if (grouping.membership[group].empty()) continue;
      if (&run == &report.runs.front()) plot.categories.push_back(grouping.groups[group]);
      series.points.push_back(percent_point(x++, run.groups[index][group].exact));
    }
    plot.series.push_back(std::move(series));
  }
  plot.y_range = fitting_percent_range(plot);
  return plot;
}

Plot step_plot(const Report& report) {
  Plot plot = named("step-validity", "Valid steps by their place in the chain", "step of the chain",
                    "valid steps, %");
  plot.note = fmt::format(
      "Each step is judged on what the model itself has written so far; 95% Wilson intervals; places that "
      "fewer "
      "than {} outputs reach are left out.",
      fewest_outputs);
  for (const RunReport& run : report.runs) {
    PlotSeries series{run.label, {}};
    for (size_t step = 0; step < run.step_validity.size(); ++step) {
      if (run.step_validity[step].total < fewest_outputs) continue;
      series.points.push_back(percent_point(static_cast<double>(step + 1), run.step_validity[step]));
    }
    if (!series.points.empty()) plot.series.push_back(std::move(series));
  }
  plot.y_range = fitting_percent_range(plot);
  return plot;
}

Plot loss_plot(const Report& report) {
  Plot plot = named("learning-loss", "Training loss", "tokens trained on, millions", "loss per token");
  plot.log_y = true;
  for (const RunReport& run : report.runs) {
    PlotSeries series{run.label, {}, true, false};
    for (const auto& point : run.learning.loss) {
      if (point.value > 0) series.points.push_back({point.tokens / 1e6, point.value});
    }
    if (!series.points.empty()) plot.series.push_back(std::move(series));
  }
  return plot;
}

Plot validation_plot(const Report& report) {
  Plot plot = named("learning-accuracy", "Right answers while training", "tokens trained on, millions",
                    "right validation answers, %");
  plot.y_range = percent_range;
  for (const RunReport& run : report.runs) {
    PlotSeries series{run.label, {}};
    for (const auto& point : run.learning.exact) {
      const int64_t items = run.learning.validation_items;
      const Interval interval = wilson(std::llround(point.value * static_cast<double>(items)), items);
      series.points.push_back(
          {point.tokens / 1e6, 100 * point.value, 100 * interval.low, 100 * interval.high});
    }
    if (!series.points.empty()) plot.series.push_back(std::move(series));
  }
  if (!plot.series.empty()) plot.note = "95% Wilson intervals over the validation problems.";
  return plot;
}

Plot time_plot(const Report& report) {
  Plot plot = named("time-items", "Decoding time of single problems", "words written", "decoding time, ms");
  plot.note = "One point per problem and run, batch 1, fastest of the repeats.";
  for (const RunReport& run : report.runs) {
    PlotSeries series{run.label, {}, false, true};
    for (const TimedItem& item : run.timing.items) {
      series.points.push_back({static_cast<double>(item.tokens), 1000 * item.seconds.decode});
    }
    if (!series.points.empty()) plot.series.push_back(std::move(series));
  }
  return plot;
}

Plot ladder_plot(const Report& report) {
  Plot plot = named("time-length", "Time per written token against the length of the chain",
                    "tokens written before", "time per token, ms");
  plot.log_x = true;
  plot.log_y = true;
  plot.note =
      "Median and quartiles. Vertical lines: where keys cost the first run as much as the rest, predicted "
      "from "
      "its shape and measured.";
  if (report.ladders.empty()) return plot;
  const Ladder& first = report.ladders.front();
  plot.marks.push_back({first.predicted_crossover, "predicted"});
  if (const auto measured = first.line.crossover()) plot.marks.push_back({*measured, "measured"});
  for (const Ladder& ladder : report.ladders) {
    PlotSeries series{ladder.name, {}};
    for (const Rung& rung : ladder.rungs) {
      series.points.push_back({static_cast<double>(rung.position), 1000 * rung.token.median,
                               1000 * rung.token.low, 1000 * rung.token.high});
    }
    if (!series.points.empty()) plot.series.push_back(std::move(series));
  }
  return plot;
}

Plot density_plot(const Report& report) {
  Plot plot =
      named("density", "Attention density by layer and head", "", "keys with a weight, % of those seen");
  plot.y_range = percent_range;
  plot.note = "One point per head.";
  for (const RunReport& run : report.runs) {
    PlotSeries series{run.label, {}, false, true};
    for (const LayerCost& layer : run.cost.layers) {
      const auto found = std::ranges::find(plot.categories, layer.name);
      const auto x = static_cast<double>(found - plot.categories.begin());
      if (found == plot.categories.end()) plot.categories.push_back(layer.name);
      for (const HeadCost& head : layer.heads) series.points.push_back({x, 100 * head.density});
    }
    if (!series.points.empty()) plot.series.push_back(std::move(series));
  }
  return plot;
}

Plot need_plot(const Report& report) {
  Plot plot = named("needed-words", "Needed words found by the heads of a layer together", "",
                    "needed values in the support, %");
  plot.y_range = percent_range;
  plot.note = "95% intervals over problems; chance: a random support of the same size.";
  for (const RunReport& run : report.runs) {
    PlotSeries found{run.label, {}, false, true};
    PlotSeries chance{run.label + ", by chance", {}, false, true, true};
    for (const NeedRow& row : run.needs.rows) {
      if (row.head != "any") continue;
      const auto place = std::ranges::find(plot.categories, row.layer);
      const auto x = static_cast<double>(place - plot.categories.begin());
      if (place == plot.categories.end()) plot.categories.push_back(row.layer);
      const Recovered& values = row.values;
      found.points.push_back({x, 100 * values.found, 100 * values.interval.low, 100 * values.interval.high});
      chance.points.push_back({x, 100 * values.chance});
    }
    if (found.points.empty()) continue;
    plot.series.push_back(std::move(found));
    plot.series.push_back(std::move(chance));
  }
  return plot;
}

}  // namespace

std::vector<Plot> plots(const Report& report) {
  std::vector<Plot> all{accuracy_plot(report)};
  for (size_t index = 0; index < report.groupings.size(); ++index) {
    Plot plot = group_plot(report, index);
    if (plot.categories.size() > 1) all.push_back(std::move(plot));
  }
  for (Plot& plot :
       std::vector<Plot>{step_plot(report), loss_plot(report), validation_plot(report), time_plot(report),
                         ladder_plot(report), density_plot(report), need_plot(report)}) {
    if (!plot.series.empty()) all.push_back(std::move(plot));
  }
  return all;
}

}  // namespace giantrabbit::eval
