// Plots as values, as gnuplot scripts and, where gnuplot is there, as pictures; the files of a report.
#include "eval/plot.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "data/atomic_file.h"
#include "eval/gnuplot.h"
#include "eval/learning_curve.h"
#include "eval/report_csv.h"

namespace giantrabbit::eval {
namespace {

bool has_part(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Plot two_series() {
  Plot plot;
  plot.name = "test";
  plot.x_label = "tokens, millions";
  plot.y_label = "loss";
  plot.series = {{"a \"quoted\" name", {{1, 2.5}, {2, 1.25}}}, {"b", {{1, 3, 2, 4}}, false, true}};
  return plot;
}

HeatMap small_map() {
  HeatMap map;
  map.name = "map";
  map.columns = {"RREF", "1", ";"};
  map.rows = {"SUB", "NL"};
  map.cells = {{0, 1, 0.5, true}, {1, 2, 0, true}};
  return map;
}

TEST(PlotTest, CsvHasOneLineAPointAndQuotesTexts) {
  EXPECT_EQ(to_csv(two_series()),
            "series,\"tokens, millions\",loss,low,high\n\"a \"\"quoted\"\" name\",1,2.5,,\n"
            "\"a \"\"quoted\"\" name\",2,1.25,,\nb,1,3,2,4\n");
  EXPECT_EQ(to_csv(small_map()),
            "row,row word,column,column word,weight,needed\n0,SUB,1,1,0.5,1\n1,NL,2,;,0,1\n");
}

TEST(PlotTest, CategoriesAreNamedInTheCsv) {
  Plot plot = two_series();
  plot.categories = {"x", "first", "second"};
  EXPECT_TRUE(has_part(to_csv(plot), "b,first,3,2,4")) << to_csv(plot);
}

TEST(PlotTest, TextsCannotLeaveTheirQuotes) {
  Plot plot = two_series();
  plot.series[0].label = "x\"; system \"touch y\\";
  EXPECT_TRUE(has_part(gnuplot_script(plot), "title \"x\\\"; system \\\"touch y\\\\\""))
      << gnuplot_script(plot);
}

TEST(PlotTest, AFewWholeNumbersHaveATicEach) {
  EXPECT_TRUE(has_part(gnuplot_script(two_series()), "set xtics 1\nset xrange [0.5:2.5]\n"));
  Plot parts = two_series();
  parts.series[1].points[0].x = 1.5;
  EXPECT_FALSE(has_part(gnuplot_script(parts), "set xtics 1"));
  Plot many = two_series();
  many.series[1].points[0].x = 200;
  EXPECT_FALSE(has_part(gnuplot_script(many), "set xtics 1"));
}

TEST(PlotTest, LabelsOfCloseMarksDoNotCoverEachOther) {
  Plot plot = two_series();
  plot.marks = {{270, "predicted"}, {280, "measured"}};
  const std::string script = gnuplot_script(plot);
  EXPECT_TRUE(has_part(script, "\"predicted\" at 270, graph 0.95")) << script;
  EXPECT_TRUE(has_part(script, "\"measured\" at 280, graph 0.87")) << script;
}

TEST(InlineSvgTest, NamesNoHostAndHasIdsOfItsOwn) {
  const std::string svg = inline_svg(
      "<?xml version=\"1.0\"?>\n<svg \n viewBox=\"0 0 6 4\"\n xmlns=\"http://www.w3.org/2000/svg\"\n "
      "xmlns:xlink=\"http://www.w3.org/1999/xlink\">\n<title>Gnuplot</title>\n<desc>by GNUPLOT</desc>\n"
      "<g id=\"gnuplot_canvas\"><use xlink:href='#gpPt5' id='gpPt6'/><a clip=\"url(#c)\" "
      "width=\"3\"/></g></svg>",
      "p7");
  EXPECT_TRUE(svg.starts_with("<svg"));
  EXPECT_FALSE(has_part(svg, "http"));
  EXPECT_FALSE(has_part(svg, "GNUPLOT"));
  EXPECT_TRUE(has_part(svg, "id=\"p7-gnuplot_canvas\"")) << svg;
  EXPECT_TRUE(has_part(svg, "xlink:href='#p7-gpPt5' id='p7-gpPt6'")) << svg;
  EXPECT_TRUE(has_part(svg, "url(#p7-c)\" width=\"3\"")) << svg;
}

TEST(GnuplotTest, DrawsPlotsAndPictures) {
  if (!has_gnuplot()) GTEST_SKIP() << "gnuplot is not on this machine";
  Plot plot = two_series();
  plot.log_y = true;
  EXPECT_TRUE(has_part(draw_svg(gnuplot_script(plot), "p1"), "quoted")) << gnuplot_script(plot);
  plot.categories = {"x", "first", "second"};
  plot.y_range = Interval{0.5, 5};
  EXPECT_TRUE(has_part(draw_svg(gnuplot_script(plot), "p2"), "second"));
  const std::string picture = draw_svg(gnuplot_script(small_map()), "p3");
  EXPECT_TRUE(has_part(picture, "SUB"));
  EXPECT_FALSE(has_part(picture, "<image"));  // nothing outside the page
}

TEST(GnuplotTest, AScriptThatFailsIsAnErrorInItsOwnWords) {
  if (!has_gnuplot()) GTEST_SKIP() << "gnuplot is not on this machine";
  try {
    draw_svg("plot nothing_like_this\n", "p1");
    FAIL() << "no error";
  } catch (const std::runtime_error& error) {
    EXPECT_TRUE(has_part(error.what(), "nothing_like_this")) << error.what();
  }
}

TEST(LearningCurveTest, ReadsWhatTrainingWrites) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "learning";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  EXPECT_TRUE(read_learning_curve(folder).loss.empty());
  data::write_file_atomically(
      folder / "metrics.jsonl",
      "{\"step\":50,\"tokens\":1000,\"loss\":4.5}\n"
      "{\"step\":50,\"tokens\":1000,\"validation_exact\":0.25,\"validation_items\":200}\n"
      "{\"step\":100,\"tokens\":2000,\"loss\":null}\n[1]\n{\"step\":150,\"tok");
  const LearningCurve curve = read_learning_curve(folder);
  ASSERT_EQ(curve.loss.size(), 1U);
  EXPECT_EQ(curve.loss[0].tokens, 1000);
  EXPECT_EQ(curve.loss[0].value, 4.5);
  ASSERT_EQ(curve.exact.size(), 1U);
  EXPECT_EQ(curve.exact[0].value, 0.25);
  EXPECT_EQ(curve.validation_items, 200);
}

TEST(ReportCsvTest, FileStems) {
  EXPECT_EQ(file_stem("Chain length, mean words before ANS"), "chain-length");
  EXPECT_EQ(file_stem("Attention of runs/a b.1"), "attention-of-runs-a-b-1");
  EXPECT_EQ(file_stem("attention-a@x=1,y=2"), "attention-a-x-1-y-2");
}

}  // namespace
}  // namespace giantrabbit::eval
