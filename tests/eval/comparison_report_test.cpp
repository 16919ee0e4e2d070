// Which problems a comparison forces through its runs, and what stops it before the work.
#include "eval/comparison_report.h"

#include <gtest/gtest.h>

#include "data/atomic_file.h"
#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

// The second problem's reference is longer than the positions of such a run.
const ProblemSet short_and_long{
    {data::parse_problem("RREF 1 0 3 ; 0 1 5"), data::parse_problem("RREF 2 4 6 ; 4 9 8 ; 3 5 7")},
    {},
    "two"};

std::filesystem::path short_run(const std::string& name) {
  model::ModelConfig config = tiny_config();
  config.max_positions = 30;
  return write_tiny_run(name, config, 1);
}

TEST(ComparisonReportTest, ReferencesBehindThePositionTableAreLeftOut) {
  std::vector<eval::Run> runs{load_run(write_tiny_run("traced_long", tiny_config(), 1)),
                              load_run(short_run("traced_short"))};
  EXPECT_EQ(traceable(short_and_long.problems, std::span(runs).first(1)).problems.size(), 2U);
  const Report report = build_report(runs, short_and_long, {2, 0, 2, 0.99, {}});
  for (const RunReport& run : report.runs) EXPECT_EQ(run.cost.items, 1);
  ASSERT_EQ(report.left_out.size(), 1U);
  EXPECT_NE(report.left_out[0].find("not measured on 1 of 2 problems"), std::string::npos);
}

TEST(ComparisonReportTest, NothingToTraceIsNoError) {
  std::vector<eval::Run> runs{load_run(short_run("traced_none"))};
  const ProblemSet only_long{{short_and_long.problems[1]}, {}, "one"};
  const Report report = build_report(runs, only_long, {1, 0, 1, 0.99, {}});
  EXPECT_EQ(report.runs[0].cost.items, 0);
  EXPECT_FALSE(report_text(report).empty());
}

TEST(ComparisonReportTest, ValidationsThatCannotBeNameTheirFile) {
  const std::filesystem::path directory = write_tiny_run("curve_out_of_range", tiny_config(), 1);
  for (const std::string entry :
       {"\"validation_exact\": 1.5", "\"validation_exact\": 0.5, \"validation_items\": -5"}) {
    data::write_file_atomically(directory / "metrics.jsonl", "{\"tokens\": 10, " + entry + "}\n");
    std::vector<eval::Run> runs{load_run(directory)};
    try {
      build_report(runs, short_and_long, {2, 0, 0, 0.99, {}});
      FAIL() << entry;
    } catch (const std::runtime_error& error) {
      EXPECT_NE(std::string(error.what()).find("metrics.jsonl, line 1: validation_"), std::string::npos)
          << error.what();
    }
  }
}

}  // namespace
}  // namespace giantrabbit::eval
