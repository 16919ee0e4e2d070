// Figures of a text: the mean over characters, intervals over blocks, and claims only where a test passed.
#include "eval/text_report.h"

#include <cmath>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/counter_rng.h"

namespace giantrabbit::eval {
namespace {

std::vector<double> noisy_bits(uint64_t seed, size_t size, double mean) {
  data::CounterRng rng{seed};
  std::vector<double> bits(size);
  for (double& value : bits) value = 2 * mean * rng.unit();
  return bits;
}

std::vector<double> shifted(std::vector<double> bits, double by) {
  for (double& value : bits) value += by;
  return bits;
}

TextReport report_of(std::vector<double> run, std::vector<double> ngram) {
  TextReport report;
  report.text = "a text";
  report.block = 10;
  report.test_size = std::ssize(ngram);
  report.runs = {{"run", std::move(run), "softmax", 17, 20, ""}};
  report.ngrams = {{"n-gram of order 4", std::move(ngram), "", 0, 0, ""}};
  return report;
}

TEST(TextReportTest, TheMeanIsOverCharactersAlsoWithAShortLastBlock) {
  std::vector<double> bits(25, 1.0);
  for (size_t at = 20; at < 25; ++at) bits[at] = 6;
  const Estimate estimate = bits_per_character(bits, 10);
  EXPECT_NEAR(estimate.mean, 2, 1e-12);
  EXPECT_LT(estimate.interval.low, 2);
  EXPECT_GT(estimate.interval.high, 2);
}

TEST(TextReportTest, ADifferenceIsClaimedWhereTheTestPasses) {
  constexpr uint64_t seed = 91;
  SCOPED_TRACE(seed);
  const std::vector<double> ngram = noisy_bits(seed, 400, 2);
  const TextComparison below = compare_texts(report_of(shifted(ngram, -0.1), ngram)).at(0);
  EXPECT_NEAR(below.mean, -0.1, 1e-12);
  EXPECT_EQ(below.items, 40);
  EXPECT_TRUE(sentence(below).starts_with("run is below the n-gram of order 4 (-0.100 bits per character"))
      << sentence(below);
  const TextComparison above = compare_texts(report_of(shifted(ngram, 0.1), ngram)).at(0);
  EXPECT_TRUE(sentence(above).starts_with("run is above the n-gram of order 4")) << sentence(above);
  // Another draw of the same law: below by chance, if at all.
  const TextComparison equal = compare_texts(report_of(noisy_bits(seed + 1, 400, 2), ngram)).at(0);
  EXPECT_TRUE(sentence(equal).starts_with("A difference between run and the n-gram of order 4 is not shown"))
      << sentence(equal);
  // Five blocks cannot show anything at 5%.
  const std::vector<double> few(ngram.begin(), ngram.begin() + 50);
  EXPECT_FALSE(compare_texts(report_of(shifted(few, -0.1), few)).at(0).shown());
}

TEST(TextReportTest, TheModelsAreComparedOnTheSameCharacters) {
  std::vector<double> ngram(100, 3.0);
  for (size_t at = 60; at < 100; ++at) ngram[at] = 100;
  const TextReport report = report_of(std::vector<double>(60, 2.0), ngram);
  EXPECT_NEAR(compare_texts(report).at(0).mean, -1, 1e-12);
  const auto json = text_report_json(report);
  EXPECT_NEAR(json["runs"][0]["ngrams"][0]["bits_per_character"].get<double>(), 3, 1e-12);
  EXPECT_NEAR(json["runs"][0]["loss"].get<double>(), 2 * std::log(2.0), 1e-12);
  EXPECT_NE(text_report_text(report).find("60 of 100"), std::string::npos);
}

TEST(TextReportTest, AllTestsOfAReportAreCorrectedTogether) {
  TextReport report = report_of(std::vector<double>(400, 2.0), noisy_bits(92, 400, 2));
  report.runs.push_back(report.runs.front());
  report.runs.back().name = "other";
  const std::vector<TextComparison> comparisons = compare_texts(report);
  ASSERT_EQ(comparisons.size(), 3U) << "each run against the n-gram model, the second run against the first";
  EXPECT_EQ(comparisons[2].first, "run");
  EXPECT_EQ(comparisons[2].second, "other");
  EXPECT_FALSE(comparisons[2].shown()) << "equal bits";
  for (const TextComparison& comparison : comparisons) {
    EXPECT_GE(comparison.adjusted, std::min(1.0, comparison.probability));
  }
  const double smallest = std::min(comparisons[0].probability, comparisons[1].probability);
  EXPECT_NEAR(comparisons[0].adjusted, std::min(1.0, 3 * smallest), 1e-12);
}

}  // namespace
}  // namespace giantrabbit::eval
