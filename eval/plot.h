// Plots as data, and their two forms: comma-separated values and an SVG drawn by gnuplot. Nothing here knows
// what is plotted. Colours are those of Okabe and Ito, which colour-blind readers can tell apart; every
// series also has its own point shape.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "eval/statistics.h"

namespace giantrabbit::eval {

inline constexpr double no_bound = std::numeric_limits<double>::quiet_NaN();

struct PlotPoint {
  double x = 0;
  double y = 0;
  double low = no_bound;  // ends of the interval of y; both or none
  double high = no_bound;
};

struct PlotSeries {
  std::string label;
  std::vector<PlotPoint> points;
  bool line = true;      // points are joined
  bool markers = true;   // points are drawn
  bool control = false;  // belongs to the series before it: its colour, open points
};

struct Plot {
  std::string name;  // of files: "learning-loss"
  std::string title;
  std::string x_label;  // with units
  std::string y_label;
  std::vector<std::string> categories;  // x = 0, 1, .. are these; empty: x is a number
  std::vector<PlotSeries> series;
  struct Mark {
    double x = 0;
    std::string label;
  };
  std::vector<Mark> marks;  // vertical lines
  bool log_x = false;
  bool log_y = false;
  std::optional<Interval> y_range;  // none: fits the points
  std::string note;                 // one sentence below the plot
};

// Weights between words, as a picture: rows from top to bottom, columns from left to right.
struct HeatMap {
  std::string name;
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<std::string> columns;
  std::vector<std::string> rows;
  struct Cell {
    int64_t row = 0;
    int64_t column = 0;
    double weight = 0;    // in (0, 1]; cells that are not listed are 0
    bool needed = false;  // marked
  };
  std::vector<Cell> cells;
  std::string note;
};

// One line per point: series, x (or its category), y, low, high.
std::string to_csv(const Plot& plot);
// One line per cell: row, row's word, column, column's word, weight, needed.
std::string to_csv(const HeatMap& map);

// What gnuplot is told; ends with the drawing of one SVG to standard output.
std::string gnuplot_script(const Plot& plot);
std::string gnuplot_script(const HeatMap& map);

int picture_width(const HeatMap& map);  // pixels

// "a,b" -> "\"a,b\"": one field of a line of comma-separated values.
std::string csv_field(const std::string& text);

}  // namespace giantrabbit::eval
