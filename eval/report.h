// Everything a comparison has measured, and its forms: terminal text, one self-contained HTML page, JSON
// (report_json.h), comma-separated values (report_csv.h). The forms say the same; none measures anything.
#pragma once

#include <string>
#include <vector>

#include "data/item_file.h"
#include "eval/attention_cost.h"
#include "eval/comparison.h"
#include "eval/ladder.h"
#include "eval/learning_curve.h"
#include "eval/machine.h"
#include "eval/metrics.h"
#include "eval/need_match.h"
#include "eval/plot.h"
#include "eval/table.h"
#include "eval/timing.h"

namespace giantrabbit::eval {

struct RunReport {
  std::string label;  // make_names_distinct in variant.h
  std::string directory;
  std::string attention;
  std::string format;
  int64_t seed = 0;
  int64_t parameters = 0;
  Metrics all;
  std::vector<Share> step_validity;          // [k]: the k-th written steps
  std::vector<std::vector<Metrics>> groups;  // [grouping][group], as Report::groupings
  Lengths solved_by_all;                     // on the items that every run solved
  RunTiming timing;
  AttentionCost cost;
  NeedSummary needs;
  LearningCurve learning;
};

// Runs that differ in their seed only, taken together.
struct VariantReport {
  std::string label;
  std::vector<size_t> runs;  // indices into Report::runs
  Estimate exact;            // mean share of right answers; interval over seeds, then items
};

struct Report {
  Machine machine;
  std::string weights;  // of the decoder: "float32", ..
  std::string items;    // a clause: "500 problems of task row-reduction, test split"
  std::vector<Grouping> groupings;
  std::vector<RunReport> runs;
  std::vector<VariantReport> variants;
  std::vector<Comparison> comparisons;  // of every two variants that share a seed
  std::vector<std::string> left_out;    // sentences about runs and problems that were not measured
  std::vector<HeatMap> pictures;        // attention on one solved problem, one a run
  std::vector<Ladder> ladders;          // one a run, in their order; empty unless they were measured
  std::vector<data::ItemFile::Refused> refused;
};

// "97.6 [96.5, 98.4]", in percent; "-" for a share of nothing.
std::string percent_with_interval(const Share& share);
std::string percent_with_interval(const Estimate& share);

std::vector<Table> tables(const Report& report);
Table need_table(const RunReport& run);
std::vector<Plot> plots(const Report& report);
// What the figures allow to conclude, one sentence each. Every claim has a test, and those of one kind
// (adjust in comparison.h; times, weights on needed words, supports against chance) share Holm's correction.
std::vector<std::string> sentences(const Report& report);

std::string report_text(const Report& report);
// Plots are drawn where gnuplot is there; elsewhere the page has tables only and says so.
std::string report_html(const Report& report);

}  // namespace giantrabbit::eval
