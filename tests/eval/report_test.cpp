// The three forms of a report: alignment, escaping, JSON structure.
#include "eval/report.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/atomic_file.h"
#include "eval/gnuplot.h"
#include "eval/report_csv.h"
#include "eval/report_json.h"

namespace giantrabbit::eval {
namespace {

bool shows(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

Evaluation first_right(int right) {
  Evaluation result;
  for (int index = 0; index < 10; ++index) {
    Judged item;
    const std::string more = index % 2 == 0 ? "" : " ; 0 1 2";
    item.problem = data::parse_problem("RREF 1 2 3 ; 4 5 " + std::to_string(index) + more);
    item.verdict.answer_right = index < right;
    item.verdict.chain_valid = index < right;
    item.verdict.finished = true;
    item.verdict.error = index < right ? data::ErrorClass::none : data::ErrorClass::arithmetic;
    item.verdict.steps.resize(2);
    item.verdict.steps[0].valid = true;
    item.verdict.steps[1].valid = index < right;
    item.verdict.chain_words = 20;
    item.verdict.reference_chain_words = 20;
    result.items.push_back(std::move(item));
  }
  return result;
}

RunReport run_report(const std::string& name, const Evaluation& judged,
                     const std::vector<Grouping>& groupings) {
  RunReport run;
  run.label = name;
  run.directory = "runs/" + name;
  run.attention = "softmax";
  run.format = "prod";
  run.parameters = 1234;
  run.all = measure(view(judged));
  run.step_validity = validity_by_step(view(judged));
  run.learning.loss = {{1000, 4.5}, {2000, 0.5}};
  for (const Grouping& grouping : groupings) {
    std::vector<Metrics>& groups = run.groups.emplace_back();
    for (const auto& members : grouping.membership) groups.push_back(measure(select(judged, members)));
  }
  run.timing = summarize({{{0.001, 0.002, 0.010}, 10, 2, 0.008}}, 2);
  run.cost.items = 1;
  run.cost.tokens = 10;
  run.cost.layers.push_back({"decoder.0.self", 10, 8, 3, 0.4, {{2, 0.25, 1}, {4, 0.5, 1}}});
  return run;
}

Report two_runs() {
  const Evaluation dense = first_right(9);
  const Evaluation sparse = first_right(7);
  Report report;
  report.machine = {"test CPU", 1, "LibTorch"};
  report.items = "10 problems";
  report.groupings = {by_family(dense.items), by_size(dense.items)};
  report.runs = {run_report("dense", dense, report.groupings),
                 run_report("spa<rse", sparse, report.groupings)};
  report.variants = {{"dense", {0}, {0.9, {0.7, 1}}}, {"spa<rse", {1}, {0.7, {0.4, 0.9}}}};
  report.comparisons = {compare_variants("dense", "spa<rse", {{&dense, &sparse, 1}}, report.groupings)};
  report.refused = {{"item 11", "no family"}};
  return report;
}

TEST(TableTest, AlignsByCharactersNotBytes) {
  const Table table{"Title", {"name", "x"}, {{"\u2713", "1"}, {"long name", "22"}}, ""};
  EXPECT_EQ(to_text(table), "Title\n  name        x\n  \u2713           1\n  long name  22\n");
}

TEST(TableTest, RejectsRaggedRows) {
  const Table table{"Title", {"name", "x"}, {{"a"}}, ""};
  EXPECT_THROW(to_text(table), std::invalid_argument);
  EXPECT_THROW(to_html(table), std::invalid_argument);
}

TEST(ReportTest, PercentsCarryTheirInterval) {
  EXPECT_EQ(percent_with_interval(share(9, 9)), "100.0 [70.1, 100.0]");
  EXPECT_EQ(percent_with_interval(share(0, 0)), "-");
}

TEST(ReportTest, TextShowsFiguresAndConclusions) {
  const std::string text = report_text(two_runs());
  EXPECT_TRUE(shows(text, "Judged on 10 problems")) << text;
  EXPECT_TRUE(shows(text, "90.0 [59.6, 98.2]")) << text;
  EXPECT_TRUE(shows(text, "is not shown to be within 1 point")) << text;
  EXPECT_TRUE(shows(text, "test CPU, 1 thread,")) << text;
  EXPECT_TRUE(shows(text, "Item item 11 could not be read")) << text;
  EXPECT_TRUE(shows(text, "2x3")) << text;
}

// The second run takes twice the time on every problem.
Report twice_the_time(int64_t items) {
  Report report = two_runs();
  const auto times = [items](double second) {
    return summarize(std::vector<TimedItem>(static_cast<size_t>(items), {{0, 0, second}, 10, 2, second}), 2);
  };
  report.runs[0].timing = times(0.010);
  report.runs[1].timing = times(0.020);
  return report;
}

TEST(ReportTest, TimesOfFewProblemsClaimNothing) {
  EXPECT_TRUE(
      shows(report_text(twice_the_time(1)), "No difference in time between dense and spa<rse is shown"));
  EXPECT_TRUE(
      shows(report_text(twice_the_time(5)), "No difference in time between dense and spa<rse is shown"));
  EXPECT_TRUE(shows(report_text(twice_the_time(6)), "spa<rse is slower than dense (+10.00 ms per problem"));
}

TEST(ReportTest, TimesAgainstTheFirstVariantAreCorrectedTogether) {
  Report report = twice_the_time(6);
  report.runs.push_back(report.runs[1]);
  report.variants.push_back({"third", {2}, {}});
  EXPECT_TRUE(shows(report_text(report), "p = 0.0312, 0.0625 after Holm's correction"))
      << report_text(report);
  EXPECT_FALSE(shows(report_text(report), "slower"));
}

// Only the second seed of the second variant is slower.
TEST(ReportTest, AllRunsOfAVariantStandForItsTime) {
  Report report = twice_the_time(24);
  report.runs = {report.runs[0], report.runs[0], report.runs[0], report.runs[1]};
  report.variants = {{"dense", {0, 1}, {}}, {"sparse", {2, 3}, {}}};
  for (size_t run = 0; run < 4; ++run) report.runs[run].seed = run % 2 == 0 ? 1 : 2;
  EXPECT_TRUE(shows(report_text(report), "(+5.00 ms per problem")) << report_text(report);
  EXPECT_TRUE(shows(report_text(report), "24 problems, 2 seeds")) << report_text(report);
}

TEST(ReportTest, SupportsOnTwoProblemsClaimNothing) {
  Report report = two_runs();
  NeedRow row{"decoder", "any", {}, {}, {}, {}, 3, 9};
  row.values.excess = 0.4;
  row.values.excess_interval = {0.3, 0.5};
  row.values.excess_test = {0.5, 0.5};
  row.support = row.values;
  report.runs[0].needs.rows = {row, row};
  report.runs[0].needs.rows[1].head = "mean";
  EXPECT_TRUE(shows(report_text(report), "in a random one of its size is not shown")) << report_text(report);
  report.runs[0].needs.rows[0].values.excess_test.probability = 0.001;
  EXPECT_TRUE(shows(report_text(report), "in a random one of its size is shown")) << report_text(report);
}

TEST(ReportTest, HtmlIsOnePageAndEscapesNames) {
  const std::string html = report_html(two_runs());
  EXPECT_TRUE(html.starts_with("<!DOCTYPE html>"));
  EXPECT_TRUE(html.ends_with("</html>\n"));
  EXPECT_TRUE(shows(html, "spa&lt;rse"));
  EXPECT_FALSE(shows(html, "spa<rse"));
  EXPECT_FALSE(shows(html, "http"));  // nothing from outside
}

// Everything that is wider than a phone stands in a box that scrolls, and nothing has to be fetched or run.
TEST(ReportTest, HtmlIsReadableOnSmallScreensAndWithoutScripts) {
  const std::string html = report_html(two_runs());
  EXPECT_TRUE(shows(html, "name=\"viewport\""));
  EXPECT_FALSE(shows(html, "<script"));
  EXPECT_FALSE(shows(html, "<img"));
  const std::string table = "<table>";
  for (size_t at = html.find(table); at != std::string::npos; at = html.find(table, at + 1)) {
    EXPECT_EQ(html.substr(at - 20, 20), "<div class=\"scroll\">");
  }
  EXPECT_EQ(shows(html, "gnuplot was not found"), !has_gnuplot());
  EXPECT_EQ(shows(html, "<svg"), has_gnuplot());
}

TEST(ReportTest, PlotsShowWhatWasMeasured) {
  const std::vector<Plot> all = plots(two_runs());
  const auto find = [&](const std::string& name) {
    const auto found = std::ranges::find(all, name, &Plot::name);
    EXPECT_NE(found, all.end()) << name;
    return *found;
  };
  EXPECT_DOUBLE_EQ(find("accuracy").series[0].points[1].y, 70);
  EXPECT_DOUBLE_EQ(find("accuracy").y_range->low, 30);  // the lowest interval begins at 39.7
  EXPECT_EQ(find("step-validity").series[1].points.size(), 2U);
  EXPECT_DOUBLE_EQ(find("step-validity").series[1].points[1].y, 70);
  EXPECT_EQ(find("learning-loss").series[0].points.size(), 2U);
  EXPECT_DOUBLE_EQ(find("time-items").series[0].points[0].x, 10);
  EXPECT_EQ(find("density").series[0].points.size(), 2U);
  EXPECT_TRUE(std::ranges::none_of(all, [](const Plot& plot) { return plot.name == "time-length"; }));
}

TEST(ReportTest, TheTimingLadderIsInEveryForm) {
  Report report = two_runs();
  Ladder dense{"dense", {}, {0.0011, 1e-6}, 4000, 900};
  dense.rungs = {{64, {0.001, 0.001, 0.002, 0.003}, {}, 0, 0},
                 {1024, {0.001, 0.002, 0.004, 0.005}, {}, 0, 0}};
  report.ladders = {dense, dense};
  const std::vector<Plot> all = plots(report);
  const auto ladder = std::ranges::find(all, "time-length", &Plot::name);
  ASSERT_NE(ladder, all.end());
  EXPECT_DOUBLE_EQ(ladder->series[0].points[1].y, 4);
  EXPECT_TRUE(shows(gnuplot_script(*ladder), "set label \"measured\" at 1100,")) << gnuplot_script(*ladder);
  EXPECT_TRUE(shows(report_text(report), "crossover measured")) << report_text(report);
  const nlohmann::json json = report_json(report)["ladders"][0];
  EXPECT_DOUBLE_EQ(json["predicted_crossover"], 900);
  EXPECT_NEAR(json["crossover"], 1100, 1e-9);
  EXPECT_EQ(json["rungs"][1]["position"], 1024);
}

TEST(ReportTest, SeveralSeedsHaveATableOfTheirOwn) {
  Report report = two_runs();
  EXPECT_FALSE(shows(report_text(report), "Variants over their seeds"));
  report.runs[1].seed = 2;
  report.variants = {{"both", {0, 1}, {0.8, {0.6, 0.95}}}};
  EXPECT_TRUE(shows(report_text(report), "0: 90.0, 2: 70.0")) << report_text(report);
}

TEST(ReportCsvTest, OneFileForEveryPlotAndTable) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "csv";
  std::filesystem::remove_all(folder);
  write_csv(two_runs(), folder);
  const std::string accuracy = data::read_file(folder / "plot-accuracy.csv");
  EXPECT_TRUE(shows(accuracy, "right answer,spa<rse,70,")) << accuracy;
  const std::string table = data::read_file(folder / "table-accuracy.csv");
  EXPECT_TRUE(shows(table, "\"90.0 [59.6, 98.2]\"")) << table;
  EXPECT_TRUE(std::filesystem::exists(folder / "table-attention-of-spa-rse.csv"));
  // Cells may be empty: the first of a grouping's header is.
  EXPECT_TRUE(data::read_file(folder / "table-by-size.csv").starts_with(",problems,"));
}

// "spa<rse" and "spa>rse" share a stem.
TEST(ReportCsvTest, TablesOfOneStemAreTwoFiles) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "csv_stems";
  std::filesystem::remove_all(folder);
  Report report = two_runs();
  report.runs[0].label = "spa>rse";
  report.runs[0].cost.layers[0].name = "decoder.7.self";
  write_csv(report, folder);
  EXPECT_TRUE(shows(data::read_file(folder / "table-attention-of-spa-rse.csv"), "decoder.7.self"));
  EXPECT_TRUE(shows(data::read_file(folder / "table-attention-of-spa-rse-2.csv"), "decoder.0.self"));
}

TEST(ReportTest, WithoutTimesAndTraces) {
  Report report = two_runs();
  for (RunReport& run : report.runs) {
    run.timing = {};
    run.cost = {};
  }
  const std::string text = report_text(report);
  EXPECT_FALSE(shows(text, "Time, ms"));
  EXPECT_FALSE(shows(text, "Attention of"));
  EXPECT_FALSE(shows(text, "difference in time"));
}

TEST(ReportJsonTest, HasTheStructureOfTheDesign) {
  // Through text, as a program would read it.
  const nlohmann::json json = nlohmann::json::parse(report_json(two_runs()).dump());
  ASSERT_EQ(json.at("runs").size(), 2U);
  const nlohmann::json& run = json["runs"][0];
  EXPECT_EQ(run.at("name"), "dense");
  for (const std::string key : {"exact", "chain_valid", "steps_valid"}) {
    const nlohmann::json& part = run.at(key);
    EXPECT_EQ(part.size(), 4U) << key;
    EXPECT_DOUBLE_EQ(part.at("rate").get<double>(),
                     part.at("count").get<double>() / part.at("total").get<double>());
    ASSERT_EQ(part.at("interval").size(), 2U);
    EXPECT_LE(part["interval"][0], part["rate"]);
    EXPECT_GE(part["interval"][1], part["rate"]);
  }
  EXPECT_EQ(run["exact"]["count"], 9);
  EXPECT_EQ(run["steps_valid"]["total"], 20);
  EXPECT_EQ(run["lengths"]["all"]["words"], 20.0);
  EXPECT_DOUBLE_EQ(run["times"]["total"]["median"], 0.013);
  EXPECT_EQ(run["densities"]["layers"][0]["name"], "decoder.0.self");
  EXPECT_DOUBLE_EQ(run["densities"]["layers"][0]["density"], 0.375);
  EXPECT_EQ(run["errors"]["arithmetic"], 1);
  EXPECT_EQ(run["groups"]["By family"]["RREF"]["exact"]["total"], 10);
  const nlohmann::json& comparison = json.at("comparisons").at(0);
  EXPECT_EQ(comparison["seeds"][0]["pairs"]["only_first"], 2);
  EXPECT_EQ(comparison["pairs"]["only_first"], 2);
  EXPECT_DOUBLE_EQ(comparison["mcnemar"], 0.5);
  EXPECT_DOUBLE_EQ(comparison["probability"], 0.5);
  EXPECT_EQ(comparison["seeds"].size(), 1U);
  EXPECT_EQ(comparison["groups"]["By size"]["2x3"]["items"], 5);
  EXPECT_EQ(comparison["non_inferiority"]["shown"], false);
  EXPECT_EQ(comparison["conclusions"].size(), 4U);
  EXPECT_EQ(json["refused"][0]["id"], "item 11");
  EXPECT_EQ(json["machine"]["threads"], 1);
  EXPECT_EQ(json["variants"][1]["name"], "spa<rse");
  EXPECT_EQ(json["plots"][0]["name"], "accuracy");
  EXPECT_EQ(json["plots"][0]["series"][0]["points"][0].size(), 4U);
}

}  // namespace
}  // namespace giantrabbit::eval
