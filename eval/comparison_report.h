// Runs and problems in, a whole Report out: every run judged on the same problems, timed in turns, its
// attention measured on forced reference outputs.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/problem_set.h"
#include "eval/report.h"
#include "eval/run.h"

namespace giantrabbit::eval {

struct ReportPlan {
  int64_t batch = 128;  // problems decoded together when judging
  int64_t timed = 24;   // problems whose time is taken, one at a time
  int64_t traced = 32;  // problems whose attention is measured
  double mass = default_support_mass;
  std::vector<int64_t> lengths;  // of forced chains whose time per token is taken; empty: none
};

// Progress goes to standard error.
Report build_report(std::vector<Run>& runs, const ProblemSet& set, const ReportPlan& plan);

// `count` problems spread evenly over the list, so that every family and size is among them.
std::vector<data::Problem> sample(const std::vector<data::Problem>& problems, int64_t count);

// The problems whose reference output can be forced through every run: there is one in the run's format, and
// it fits the run's positions. All runs are traced on the same ones.
struct Traceable {
  std::vector<data::Problem> problems;
  std::string left_out;  // a sentence about the others; empty without any
};
Traceable traceable(const std::vector<data::Problem>& problems, std::span<const Run> runs);

// The reference outputs of the problems that have one in this format.
std::vector<ForcedItem> reference_items(const std::vector<data::Problem>& problems, data::ChainFormat format);

}  // namespace giantrabbit::eval
