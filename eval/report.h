// Everything a comparison has measured, and its three forms: terminal text, one self-contained HTML page,
// JSON (report_json.h). The forms say the same; none computes anything.
#pragma once

#include <string>
#include <vector>

#include "data/item_file.h"
#include "eval/attention_cost.h"
#include "eval/comparison.h"
#include "eval/machine.h"
#include "eval/metrics.h"
#include "eval/table.h"
#include "eval/timing.h"

namespace giantrabbit::eval {

struct RunReport {
  std::string name;   // the run directory's last part
  std::string label;  // the same, or the whole path where two runs share a name
  std::string directory;
  std::string attention;
  std::string format;
  int64_t parameters = 0;
  Metrics all;
  std::vector<std::vector<Metrics>> groups;  // [grouping][group], as Report::groupings
  Lengths solved_by_all;                     // on the items that every run solved
  RunTiming timing;
  AttentionCost cost;
};

struct Report {
  Machine machine;
  std::string weights;  // of the decoder: "float32", ..
  std::string items;    // a clause: "500 problems of task row-reduction, test split"
  std::vector<Grouping> groupings;
  std::vector<RunReport> runs;
  std::vector<Comparison> comparisons;
  std::vector<data::ItemFile::Refused> refused;
};

// "97.6 [96.5, 98.4]", in percent; "-" for a share of nothing.
std::string percent_with_interval(const Share& share);

std::vector<Table> tables(const Report& report);
// What the figures allow to conclude, one sentence each.
std::vector<std::string> sentences(const Report& report);

std::string report_text(const Report& report);
std::string report_html(const Report& report);

}  // namespace giantrabbit::eval
