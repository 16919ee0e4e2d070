// Grouping of runs by everything but the seed.
#include "eval/variant.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "data/atomic_file.h"
#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

TEST(VariantTest, EqualConfigurationsAreOneVariantInOrderOfSeeds) {
  const std::vector<RunIdentity> runs{
      {"sparse-seed2", "s", 2}, {"dense-1", "d", 1}, {"sparse-seed1", "s", 1}, {"dense-2", "d", 2}};
  const std::vector<Variant> variants = group_runs(runs);
  ASSERT_EQ(variants.size(), 2U);
  EXPECT_EQ(variants[0].label, "sparse");
  EXPECT_EQ(variants[0].runs, (std::vector<size_t>{2, 0}));
  EXPECT_EQ(variants[1].label, "dense");
  EXPECT_EQ(variants[1].runs, (std::vector<size_t>{1, 3}));
}

TEST(VariantTest, TheSameSeedTwiceIsNotTwoMeasurementsOfOneVariant) {
  const std::vector<Variant> variants = group_runs(std::vector<RunIdentity>{{"a", "x", 1}, {"b", "x", 1}});
  ASSERT_EQ(variants.size(), 2U);
  EXPECT_EQ(variants[0].label, "a");
  EXPECT_EQ(variants[1].label, "b");
}

TEST(VariantTest, LabelsStayDifferent) {
  // Nothing in common, and two variants with the same beginning.
  const std::vector<RunIdentity> runs{{"one", "x", 1},   {"two", "x", 2},   {"run-1", "y", 1},
                                      {"run-2", "y", 2}, {"run-3", "z", 1}, {"run-4", "z", 2}};
  const std::vector<Variant> variants = group_runs(runs);
  ASSERT_EQ(variants.size(), 3U);
  EXPECT_EQ(variants[0].label, "one");
  EXPECT_NE(variants[1].label, variants[2].label);
}

TEST(VariantTest, RunsPairBySeed) {
  const std::vector<RunIdentity> runs{{"a1", "a", 1}, {"a2", "a", 2}, {"a3", "a", 3},
                                      {"b3", "b", 3}, {"b1", "b", 1}, {"c9", "c", 9}};
  const std::vector<Variant> variants = group_runs(runs);
  const std::vector<RunPair> pairs = pair_by_seed(variants[0], variants[1], runs);
  ASSERT_EQ(pairs.size(), 2U);
  EXPECT_EQ(pairs[0].first, 0U);
  EXPECT_EQ(pairs[0].second, 4U);
  EXPECT_EQ(pairs[1].first, 2U);
  EXPECT_EQ(pairs[1].second, 3U);
  EXPECT_TRUE(pair_by_seed(variants[0], variants[2], runs).empty());
}

TEST(VariantTest, SingleRunsPairWhateverTheirSeeds) {
  const std::vector<RunIdentity> runs{{"a", "a", 1}, {"b", "b", 2}};
  const std::vector<Variant> variants = group_runs(runs);
  EXPECT_EQ(pair_by_seed(variants[0], variants[1], runs).size(), 1U);
}

std::vector<std::string> distinct_names(const std::vector<std::pair<std::string, std::string>>& runs) {
  std::vector<Run> named(runs.size());
  for (size_t index = 0; index < runs.size(); ++index) {
    named[index].directory = std::filesystem::path(testing::TempDir()) / "names" / runs[index].first;
    std::filesystem::create_directories(named[index].directory);
    named[index].name = named[index].directory.filename().string() + runs[index].second;
  }
  make_names_distinct(named);
  std::vector<std::string> names;
  for (const Run& run : named) names.push_back(run.name);
  return names;
}

TEST(DistinctNamesTest, TheShortestPartsThatTellRunsApart) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(distinct_names({{"x/dense", ""}, {"x/sparse", ""}}), (Names{"dense", "sparse"}));
  EXPECT_EQ(
      distinct_names({{"p/d", ""}, {"p/d", "@window=8"}, {"q/d", ""}, {"q/d", "@window=8"}, {"p/e", ""}}),
      (Names{"p/d", "p/d@window=8", "q/d", "q/d@window=8", "e"}));
  EXPECT_EQ(distinct_names({{"a/x/d", ""}, {"b/x/d", ""}}), (Names{"a/x/d", "b/x/d"}));
}

TEST(DistinctNamesTest, OneRunTwiceIsNumbered) {
  EXPECT_EQ(distinct_names({{"p/d", ""}, {"p/d", ""}}), (std::vector<std::string>{"d", "d #2"}));
}

TEST(VariantTest, LabelsKeepTheChange) {
  const std::vector<RunIdentity> runs{
      {"d-1", "x", 1}, {"d-1@window=8", "y", 1}, {"d-2", "x", 2}, {"d-2@window=8", "y", 2}};
  const std::vector<Variant> variants = group_runs(runs);
  ASSERT_EQ(variants.size(), 2U);
  EXPECT_EQ(variants[0].label, "d");
  EXPECT_EQ(variants[1].label, "d@window=8");
}

// Through run directories: the seed does not count, every other setting does, those of training too.
TEST(VariantTest, ConfigurationOfARunLeavesOutTheSeedOnly) {
  const auto configuration = [](const std::string& from, const std::string& to) {
    const auto directory = write_tiny_run("variant", tiny_config(), 1);
    std::string text = data::read_file(directory / "config.toml") + "\n[train]\nminutes = 3.0\n";
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    if (at != std::string::npos) text.replace(at, from.size(), to);
    data::write_file_atomically(directory / "config.toml", text);
    return load_run(directory).configuration;
  };
  const std::string plain = configuration("seed = 1", "seed = 1");
  EXPECT_EQ(configuration("seed = 1", "seed = 7"), plain);
  EXPECT_NE(configuration("minutes = 3.0", "minutes = 4.0"), plain);
  EXPECT_NE(configuration("attention = \"softmax\"", "attention = \"sparsemax\""), plain);
}

}  // namespace
}  // namespace giantrabbit::eval
