// giantrabbit-eval compare: all runs on the same problems -> accuracy, chains, times, attention, conclusions.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/atomic_file.h"
#include "eval/commands/command.h"
#include "eval/commands/problem_options.h"
#include "eval/comparison_report.h"
#include "eval/report_csv.h"
#include "eval/report_json.h"

namespace giantrabbit::eval {
namespace {

using cxxopts::value;

cxxopts::Options compare_options() {
  cxxopts::Options options(
      "giantrabbit-eval compare",
      "Judges every RUN on the same problems and says what the figures allow to conclude. Runs whose\n"
      "configurations differ in the seed only are one variant: give all of them, in any order.");
  options.custom_help("RUN.. [options]");
  options.add_options()                                                                                     //
      ("count", "problems to draw", value<std::string>()->default_value("500"), "N")                        //
      ("batch", "problems decoded together when judging", value<std::string>()->default_value("128"), "N")  //
      ("timed", "problems whose time is taken, one at a time; 0 = none",
       value<std::string>()->default_value("24"), "N")  //
      ("traced", "problems whose attention is measured; 0 = none", value<std::string>()->default_value("32"),
       "N")  //
      ("mass", "a head's support is its heaviest keys with this share of the weight, when held against need",
       value<std::string>()->default_value("0.99"), "SHARE")  //
      ("lengths", "take the time per token of a forced chain at these lengths as well", value<std::string>(),
       "LIST")                                                                                           //
      ("json", "write the figures to this file", value<std::string>(), "FILE")                           //
      ("csv", "write plots and tables into this folder, one file each", value<std::string>(), "FOLDER")  //
      ("report", "write plots and tables to this file as one HTML page", value<std::string>(), "FILE");
  add_problem_options(options);
  return options;
}

}  // namespace

void run_compare(std::span<const std::string> arguments) {
  cxxopts::Options options = compare_options();
  const Parsed parsed = parse(options, arguments);
  if (parsed.help) return;
  prepare(parsed);
  for (const char* output : {"json", "report"}) check_output(parsed, output);
  check_output(parsed, "csv", OutputKind::folder);
  const ReportPlan plan{
      whole_number(parsed, "batch", 1), whole_number(parsed, "timed", 0), whole_number(parsed, "traced", 0),
      share_of_one(parsed, "mass"),
      parsed.options.count("lengths") > 0 ? lengths(parsed, "lengths") : std::vector<int64_t>{}};
  const int64_t count = whole_number(parsed, "count", 1);
  check_problem_options(parsed);
  std::vector<Run> runs = load_runs(parsed);
  if (!plan.lengths.empty()) common_task(runs, "they cannot be forced through one chain of --lengths");
  const ProblemSet problems = choose_problems(parsed, runs, count);
  const Report report = build_report(runs, problems, plan);
  fmt::print("{}", report_text(report));
  write_json(parsed, report_json(report));
  if (parsed.options.count("csv") > 0) write_csv(report, parsed.options["csv"].as<std::string>());
  if (parsed.options.count("report") > 0) {
    data::write_file_atomically(parsed.options["report"].as<std::string>(), report_html(report));
  }
}

}  // namespace giantrabbit::eval
