// Plots -> comma-separated values and gnuplot scripts. Texts reach gnuplot only inside double quotes, with
// everything escaped that means something there.
#include "eval/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace giantrabbit::eval {
namespace {

constexpr std::array<const char*, 7> colours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                "#e69f00", "#56b4e9", "#000000"};
// gnuplot's point types; an open shape has the number before its filled one.
constexpr std::array<int, 7> shapes = {7, 5, 9, 11, 13, 15, 7};

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    result += letter == '\n' ? ' ' : letter;
  }
  return result + "\"";
}

std::string number(double value) { return std::isnan(value) ? "NaN" : fmt::format("{:.10g}", value); }
std::string csv_number(double value) { return std::isnan(value) ? "" : fmt::format("{:.10g}", value); }

std::string tics(const std::vector<std::string>& labels) {
  std::string list;
  for (size_t index = 0; index < labels.size(); ++index) {
    list += fmt::format("{}{} {}", index == 0 ? "" : ", ", quoted(labels[index]), index);
  }
  return "(" + list + ")";
}

std::string terminal(int width, int height, int font) {
  return fmt::format(
      "set encoding utf8\n"
      "set terminal svg size {},{} dynamic noenhanced font 'sans-serif,{}' background '#ffffff'\n",
      width, height, font);
}

// A few whole numbers have a tic each: gnuplot on its own also puts some between them.
std::string whole_tics(const Plot& plot) {
  constexpr double few = 12;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& point : series.points) {
      if (point.x != std::round(point.x)) return "";
      low = std::min(low, point.x);
      high = std::max(high, point.x);
    }
  }
  if (plot.log_x || !(high - low < few)) return "";
  return fmt::format("set xtics 1\nset xrange [{}:{}]\n", low - 0.5, high + 0.5);
}

std::string axes(const Plot& plot) {
  std::string script =
      fmt::format("set xlabel {}\nset ylabel {}\n", quoted(plot.x_label), quoted(plot.y_label));
  script += "set grid ytics lc rgb '#dddddd' lw 1\nset border 3 lc rgb '#444444'\nset tics nomirror\n";
  // The key stands above the axes, so that it covers neither points nor slanted labels.
  script += "set key top center outside horizontal Left reverse\n";
  if (plot.log_x) script += "set logscale x\n";
  if (plot.log_y) script += "set logscale y\nset format y '%g'\n";
  if (plot.y_range) script += fmt::format("set yrange [{}:{}]\n", plot.y_range->low, plot.y_range->high);
  double height = 0.95;  // of a mark's label: marks may stand close together
  for (const Plot::Mark& mark : plot.marks) {
    script += fmt::format(
        "set arrow from {0}, graph 0 to {0}, graph 1 nohead dt 2 lc rgb '#444444'\nset label {1} at {0}, "
        "graph {2} offset 0.5,0\n",
        number(mark.x), quoted(mark.label), height);
    height -= 0.08;
  }
  if (plot.categories.empty()) return script + whole_tics(plot);
  size_t letters = 0;
  for (const std::string& category : plot.categories) letters += category.size() + 2;
  script += "set xtics " + tics(plot.categories) + (letters > 70 ? " rotate by -35\n" : "\n");
  return script + fmt::format("set xrange [-0.5:{}]\n", static_cast<double>(plot.categories.size()) - 0.5);
}

bool has_intervals(const PlotSeries& series) {
  return std::ranges::any_of(series.points, [](const PlotPoint& point) { return !std::isnan(point.low); });
}

// Series on categories stand side by side.
double offset(const Plot& plot, size_t series) {
  if (plot.categories.empty()) return 0;
  const auto count = static_cast<double>(plot.series.size());
  return (static_cast<double>(series) - (count - 1) / 2) * std::min(0.16, 0.7 / count);
}

}  // namespace

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string field = "\"";
  for (const char letter : text) field += letter == '"' ? "\"\"" : std::string(1, letter);
  return field + "\"";
}

std::string to_csv(const Plot& plot) {
  std::string text =
      fmt::format("series,{},{},low,high\n", csv_field(plot.x_label.empty() ? "x" : plot.x_label),
                  csv_field(plot.y_label));
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& point : series.points) {
      const auto category = static_cast<size_t>(std::llround(point.x));
      const std::string x =
          plot.categories.empty() ? csv_number(point.x) : csv_field(plot.categories.at(category));
      text += fmt::format("{},{},{},{},{}\n", csv_field(series.label), x, csv_number(point.y),
                          csv_number(point.low), csv_number(point.high));
    }
  }
  return text;
}

std::string to_csv(const HeatMap& map) {
  std::string text = "row,row word,column,column word,weight,needed\n";
  for (const HeatMap::Cell& cell : map.cells) {
    text +=
        fmt::format("{},{},{},{},{},{}\n", cell.row, csv_field(map.rows.at(static_cast<size_t>(cell.row))),
                    cell.column, csv_field(map.columns.at(static_cast<size_t>(cell.column))),
                    csv_number(cell.weight), cell.needed ? 1 : 0);
  }
  return text;
}

std::string gnuplot_script(const Plot& plot) {
  std::string data;
  std::string draw;
  size_t colour = 0;
  for (size_t index = 0; index < plot.series.size(); ++index) {
    const PlotSeries& series = plot.series[index];
    if (index > 0 && !series.control) ++colour;
    data += fmt::format("$series{} << END\n", index);
    for (const PlotPoint& point : series.points) {
      data += fmt::format("{} {} {} {}\n", number(point.x + offset(plot, index)), number(point.y),
                          number(point.low), number(point.high));
    }
    data += "END\n";
    const int shape = shapes[colour % shapes.size()] - (series.control ? 1 : 0);
    const std::string look =
        fmt::format("lc rgb '{}' pt {} ps 0.8 lw 2", colours[colour % colours.size()], shape);
    const char* style = !series.line ? "points" : series.markers ? "linespoints" : "lines";
    if (has_intervals(series)) {
      draw += fmt::format("$series{} using 1:2:3:4 with yerrorbars {} notitle, ", index, look);
    }
    draw +=
        fmt::format("$series{} using 1:2 with {} {} title {}, ", index, style, look, quoted(series.label));
  }
  return terminal(620, 400, 15) + axes(plot) + data + "plot " + draw.substr(0, draw.size() - 2) + "\n";
}

int picture_width(const HeatMap& map) { return 190 + 15 * static_cast<int>(map.columns.size()); }

std::string gnuplot_script(const HeatMap& map) {
  const int height = 150 + 15 * static_cast<int>(map.rows.size());
  std::string script = terminal(picture_width(map), height, 11);
  script += fmt::format("set xlabel {}\nset ylabel {}\n", quoted(map.x_label), quoted(map.y_label));
  script += fmt::format("set xtics {} rotate by 90 right font ',9'\nset ytics {} font ',9'\n",
                        tics(map.columns), tics(map.rows));
  script +=
      fmt::format("set xrange [-0.5:{}]\nset yrange [{}:-0.5]\n",
                  static_cast<double>(map.columns.size()) - 0.5, static_cast<double>(map.rows.size()) - 0.5);
  script +=
      "set tics nomirror out scale 0.3\nset border lc rgb '#444444'\nunset key\nset style fill solid "
      "noborder\n"
      "set palette defined (0 '#eaf1f8', 0.35 '#8bb8dc', 1 '#08306b')\nset cbrange [0:1]\n"
      "set cblabel 'weight'\n";
  std::string cells;
  std::string needed;
  for (const HeatMap::Cell& cell : map.cells) {
    if (cell.weight > 0) cells += fmt::format("{} {} {:.3f}\n", cell.column, cell.row, cell.weight);
    if (cell.needed) needed += fmt::format("{} {}\n", cell.column, cell.row);
  }
  script += "$cells << END\n" + cells + "END\n$needed << END\n" + needed + "END\nplot ";
  if (!cells.empty()) script += "$cells using 1:2:(0.46):(0.46):3 with boxxyerror lc palette";
  if (!needed.empty()) {
    script += fmt::format("{}$needed using 1:2 with points pt 4 ps 0.75 lw 1.6 lc rgb '#d55e00'",
                          cells.empty() ? "" : ", ");
  }
  return script + "\n";
}

}  // namespace giantrabbit::eval
