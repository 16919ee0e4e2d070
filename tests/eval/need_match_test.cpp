// Supports against needs: hand-made traces, chance against enumeration, and real traces of random models.
#include "eval/need_match.h"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "eval/attention_cost.h"
#include "eval/attention_places.h"
#include "tiny_run.h"

namespace giantrabbit::eval {
namespace {

struct WeightedKey {
  int64_t key;
  double weight;
};

// One sequence, rows (head, query).
model::AttentionRecord weighted_record(const std::string& name, int64_t queries, int64_t keys,
                                       const std::vector<int64_t>& visible,
                                       const std::vector<std::vector<WeightedKey>>& rows) {
  model::AttentionRecord result;
  result.name = name;
  result.queries = queries;
  result.keys = keys;
  result.visible = torch::tensor(visible).view({1, queries});
  std::vector<int64_t> offsets{0};
  std::vector<int64_t> indices;
  std::vector<double> weights;
  for (const std::vector<WeightedKey>& row : rows) {
    for (const WeightedKey& entry : row) {
      indices.push_back(entry.key);
      weights.push_back(entry.weight);
    }
    offsets.push_back(static_cast<int64_t>(indices.size()));
  }
  result.support.row_offsets = torch::tensor(offsets);
  result.support.key_indices = torch::tensor(indices, torch::kInt64);
  result.support.weights = torch::tensor(weights, torch::kFloat64);
  return result;
}

model::ModelConfig without_thoughts() {
  model::ModelConfig config = tiny_config();
  config.thought_steps = 0;
  return config;
}

const MatchRow& row_of(const std::vector<MatchRow>& rows, const std::string& layer, const std::string& head) {
  const auto found =
      std::ranges::find_if(rows, [&](const MatchRow& row) { return row.layer == layer && row.head == head; });
  EXPECT_NE(found, rows.end()) << layer << " " << head;
  return *found;
}

// Three prompt words, three written ones. Word 2 needs prompt word 1 and written word 0 as values, written
// word 1 as header. Self keys: BOS, word 0, word 1 at query 2.
TEST(NeedMatchTest, HandMadeTrace) {
  model::Trace trace;
  trace.attentions.push_back(weighted_record("decoder.0.self", 3, 3, {1, 2, 3},
                                             {{{0, 1}},
                                              {{0, 1}},
                                              {{0, .25}, {1, .75}},  // head 0 of query 2: BOS, word 0
                                              {{0, 1}},
                                              {{0, 1}},
                                              {{0, .5}, {2, .5}}}));  // head 1: BOS, word 1
  trace.attentions.push_back(weighted_record("decoder.0.cross", 3, 3, {3, 3, 3},
                                             {{{0, 1}},
                                              {{0, 1}},
                                              {{2, 1}},  // head 0: prompt word 2
                                              {{0, 1}},
                                              {{0, 1}},
                                              {{0, .5}, {2, .5}}}));  // head 1: words 0 and 2
  std::vector<WordNeed> needs(3);
  needs[2] = {{{true, 1}, {false, 0}}, {{false, 1}}};
  const auto rows = match_needs(without_thoughts(), trace, 3, needs, 1, 0, 3);
  ASSERT_EQ(rows.size(), 3U + 3U + 2U);

  const Match& first = row_of(rows, "decoder.0.self", "0").match;
  EXPECT_EQ(first.words, 1);
  EXPECT_EQ(first.values.total, 1);  // the prompt's word is none of self-attention's
  EXPECT_EQ(first.values.found, 1);
  EXPECT_DOUBLE_EQ(first.values.chance, 2. / 3);  // 2 of 3 keys
  EXPECT_EQ(first.header.found, 0);
  EXPECT_EQ(first.support.total, 2);
  EXPECT_EQ(first.support.found, 1);
  EXPECT_DOUBLE_EQ(first.support.chance, 2 * 2. / 3);
  EXPECT_DOUBLE_EQ(first.weight.found, 0.75);
  EXPECT_DOUBLE_EQ(first.weight.chance, 2. / 3);

  const Match& self = row_of(rows, "decoder.0.self", "any").match;
  EXPECT_EQ(self.keys, 3);
  EXPECT_EQ(self.header.found, 1);
  EXPECT_DOUBLE_EQ(self.values.chance, 1);

  const Match& cross = row_of(rows, "decoder.0.cross", "any").match;
  EXPECT_EQ(cross.values.total, 1);
  EXPECT_EQ(cross.values.found, 0);
  EXPECT_DOUBLE_EQ(cross.values.chance, 2. / 3);
  EXPECT_EQ(cross.header.total, 0);

  const Match& all = row_of(rows, "decoder", "any").match;
  EXPECT_EQ(all.words, 1);
  EXPECT_EQ(all.values.total, 2);
  EXPECT_EQ(all.values.found, 1);
  EXPECT_DOUBLE_EQ(all.values.chance, 1 + 2. / 3);
  const Match& mean = row_of(rows, "decoder", "mean").match;
  EXPECT_EQ(mean.words, 4);
  EXPECT_EQ(mean.support.total, 2 + 2 + 1 + 2);
}

TEST(NeedMatchTest, SupportIsCutToItsHeaviestKeys) {
  const auto attention =
      weighted_record("decoder.0.self", 1, 4, {4}, {{{0, .30}, {1, .02}, {2, .60}, {3, .08}}});
  const SupportView view(attention);
  const auto indices = [&](double mass) {
    std::vector<int64_t> keys;
    for (const auto& key : view.heaviest(0, 0, mass)) keys.push_back(key.index);
    return keys;
  };
  EXPECT_EQ(indices(0.5), (std::vector<int64_t>{2}));
  EXPECT_EQ(indices(0.9), (std::vector<int64_t>{2, 0}));
  EXPECT_EQ(indices(0.95), (std::vector<int64_t>{2, 0, 3}));
  EXPECT_EQ(indices(1), (std::vector<int64_t>{2, 0, 3, 1}));
}

// A word that two keys stand for (its encoded state and its thought) is found when either is drawn; all
// choices of 3 among 8 keys are counted.
TEST(NeedMatchTest, ChanceAgreesWithEnumeration) {
  model::ModelConfig config = tiny_config();  // one thought step: prompt words have two keys
  model::Trace trace;
  trace.attentions.push_back(weighted_record("decoder.0.cross", 1, 8, {8}, {{{0, .5}, {3, .25}, {6, .25}}}));
  std::vector<WordNeed> needs(1);
  needs[0] = {{{true, 1}, {true, 3}}, {}};
  const auto rows = match_needs(config, trace, 4, needs, 1, 0, 1);
  double hits = 0;
  double choices = 0;
  for (unsigned chosen = 0; chosen < 256; ++chosen) {
    if (__builtin_popcount(chosen) != 3) continue;
    ++choices;
    for (const int word : {1, 3})
      hits += (chosen >> word & 1U) != 0 || (chosen >> (word + 4) & 1U) != 0 ? 1 : 0;
  }
  const Match& match = row_of(rows, "decoder.0.cross", "0").match;
  EXPECT_NEAR(match.values.chance, hits / choices, 1e-12);
  EXPECT_EQ(match.values.found, 1);  // key 3 is word 3; key 6 is the thought of word 2
}

TEST(NeedMatchTest, DenseSupportsEqualChanceWhenNothingIsCut) {
  model::GiantRabbit network = tiny_network(tiny_config(), 5);
  NeedCounter counter(1);
  for (const data::Problem& problem : some_problems(4)) {
    const data::Words output = data::find_family("RREF").solve(problem.prompt, data::ChainFormat::prod);
    counter.add(tiny_config(), trace_output(network, data::Vocabulary(), problem.prompt, output),
                problem.prompt, output, data::ChainFormat::prod);
  }
  const NeedSummary summary = counter.result();
  EXPECT_EQ(summary.items, 4);
  for (const NeedRow& row : summary.rows) {
    EXPECT_NEAR(row.values.found, 1, 1e-12) << row.layer << row.head;
    EXPECT_NEAR(row.values.chance, 1, 1e-12) << row.layer << row.head;
    EXPECT_NEAR(row.support.found, row.support.chance, 1e-12) << row.layer << row.head;
  }
}

// Random weights know nothing: the support of a sparse model finds about what a random one finds.
TEST(NeedMatchTest, SummaryOfASparseModel) {
  for (const bool encoder : {true, false}) {
    model::ModelConfig config = tiny_config();
    config.attention = "sparsemax";
    config.encoder = encoder;
    model::GiantRabbit network = tiny_network(config, 7);
    NeedCounter counter(default_support_mass);
    const std::vector<data::Problem> problems = some_problems(6);
    for (const data::Problem& problem : problems) {
      const data::Words output = data::find_family("RREF").solve(problem.prompt, data::ChainFormat::prod);
      counter.add(config, trace_output(network, data::Vocabulary(), problem.prompt, output), problem.prompt,
                  output, data::ChainFormat::prod);
    }
    const NeedSummary summary = counter.result();
    ASSERT_EQ(summary.rows.size(), 2U * 2 * 3 + 2);
    const NeedRow* any = summary.find("decoder", "any");
    ASSERT_NE(any, nullptr);
    EXPECT_GT(any->values.found, 0);
    EXPECT_LE(any->values.found, 1);
    EXPECT_GE(any->values.interval.high, any->values.found);
    EXPECT_LE(any->values.interval.low, any->values.found);
    EXPECT_NEAR(any->values.excess, any->values.found - any->values.chance, 1e-9);
    EXPECT_LT(any->keys, any->visible);
    EXPECT_EQ(summary.find("decoder", "7"), nullptr);
  }
}

TEST(NeedMatchTest, ProblemsWithoutANeedAreLeftOut) {
  model::GiantRabbit network = tiny_network(tiny_config(), 5);
  NeedCounter counter(1);
  const data::Words prompt{"FACT_COUNT", "3", "5", "3", ";"};
  const data::Words output = data::find_family("FACT_COUNT").solve(prompt, data::ChainFormat::prod);
  counter.add(tiny_config(), trace_output(network, data::Vocabulary(), prompt, output), prompt, output,
              data::ChainFormat::prod);
  EXPECT_EQ(counter.result().items, 0);
  EXPECT_TRUE(counter.result().rows.empty());
}

void expect_places_of_all(const PlaceMap& map, const model::Trace& trace) {
  for (const model::AttentionRecord& attention : trace.attentions) {
    const AttentionPlaces places = map.of(attention);
    EXPECT_EQ(std::ssize(places.queries), attention.queries) << attention.name;
    EXPECT_EQ(std::ssize(places.keys), attention.keys) << attention.name;
  }
}

// Tokens that a mask dropped have no thought: the kept ones keep their words.
TEST(PlaceMapTest, ThoughtsStandForTheTokensThatWereKept) {
  model::ModelConfig config = tiny_config();
  config.thought_steps = 2;
  config.mask = "dynamic";
  config.mask_granularity = "token";
  config.keep_fraction = 0.5;
  model::GiantRabbit network = tiny_network(config, 3);
  const data::Words prompt{"RREF", "1", "2", "3", ";", "4", "5", "6", ";"};
  const data::Words output = data::find_family("RREF").solve(prompt, data::ChainFormat::prod);
  const model::Trace trace = trace_output(network, data::Vocabulary(), prompt, output);
  const PlaceMap map(config, trace, std::ssize(prompt), std::ssize(output));
  expect_places_of_all(map, trace);
  const auto last = std::ranges::find(trace.attentions, "thought.1.self", &model::AttentionRecord::name);
  ASSERT_NE(last, trace.attentions.end());
  const int64_t* kept = trace.masks.at(1).const_data_ptr<int64_t>();
  const AttentionPlaces places = map.of(*last);
  ASSERT_EQ(places.keys.size(), 5U);  // ceil(9 / 2)
  for (size_t key = 0; key < 5; ++key) EXPECT_EQ(places.keys[key], (Place{true, kept[key]}));
}

// They had no places: flags of keys were written behind their end.
TEST(PlaceMapTest, PauseTokensHavePlacesWithoutWords) {
  const data::Words prompt{"RREF", "1", "2", "3", ";", "4", "5", "6", ";"};
  const data::Words output = data::find_family("RREF").solve(prompt, data::ChainFormat::prod);
  for (const bool encoder : {true, false}) {
    model::ModelConfig config = tiny_config();
    config.encoder = encoder;
    config.pause_tokens = 8;
    model::GiantRabbit network = tiny_network(config, 3);
    const model::Trace trace = trace_output(network, data::Vocabulary(), prompt, output);
    const PlaceMap map(config, trace, std::ssize(prompt), std::ssize(output));
    expect_places_of_all(map, trace);
    NeedCounter counter(1);
    counter.add(config, trace, prompt, output, data::ChainFormat::prod);
    EXPECT_EQ(counter.result().items, 1);
  }
}

}  // namespace
}  // namespace giantrabbit::eval
