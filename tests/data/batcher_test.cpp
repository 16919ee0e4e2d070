// Batches: padding and shift, the token budget, completeness of a pool, and exact resume.
#include "data/batcher.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include <gtest/gtest.h>

#include "data/example_source.h"

namespace giantrabbit::data {
namespace {

ExampleSource training_source() { return {"row-reduction", ChainFormat::delta, Split::train, 51}; }

bool same(const Batch& a, const Batch& b) {
  return a.prompt.equal(b.prompt) && a.prompt_lengths.equal(b.prompt_lengths) && a.target.equal(b.target) &&
         a.target_lengths.equal(b.target_lengths) && a.decoder_input.equal(b.decoder_input) &&
         a.target_tokens == b.target_tokens;
}

TEST(Batch, PadsAndShifts) {
  const std::vector<Example> examples = {{{}, {10, 11, 12}, {20, 21, 2}}, {{}, {13}, {22, 2}}};
  const Batch batch = make_batch(examples);
  EXPECT_TRUE(batch.prompt.equal(torch::tensor({{10, 11, 12}, {13, 0, 0}}, torch::kInt64)));
  EXPECT_TRUE(batch.prompt_lengths.equal(torch::tensor({3, 1}, torch::kInt64)));
  EXPECT_TRUE(batch.target.equal(torch::tensor({{20, 21, 2}, {22, 2, 0}}, torch::kInt64)));
  EXPECT_TRUE(batch.decoder_input.equal(torch::tensor({{1, 20, 21}, {1, 22, 0}}, torch::kInt64)));
  EXPECT_TRUE(batch.target_lengths.equal(torch::tensor({3, 2}, torch::kInt64)));
  EXPECT_EQ(batch.target_tokens, 5);
  EXPECT_FALSE(batch.prompt.requires_grad());
}

TEST(Batch, PaddingStaysInsideASufficientTable) {
  const std::vector<Example> examples = {{{}, {10, 11, 12}, {20, 21, 22, 23, 2}}, {{}, {13}, {22, 2}}};
  const Batch batch = make_batch(examples, 4, 5);
  EXPECT_EQ(batch.prompt.size(1), 4);
  EXPECT_EQ(batch.target.size(1), 5);
  EXPECT_EQ(make_batch(examples, 4, 4).target.size(1), 8) << "a sequence that is longer anyway is padded";
}

TEST(Batch, RefusesEmptyInput) {
  EXPECT_THROW((void)make_batch({}), std::invalid_argument);
  EXPECT_THROW((void)make_prompt_batch({}), std::invalid_argument);
  const std::vector<Example> no_target = {{{}, {10}, {}}};
  EXPECT_THROW((void)make_batch(no_target), std::invalid_argument);
  EXPECT_FALSE(make_prompt_batch(no_target).target.defined());
}

TEST(Batcher, KeepsTheTokenBudgetAndUsesEveryExampleOnce) {
  const ExampleSource source = training_source();
  constexpr int64_t budget = 2048;
  Batcher batcher(source, budget, 1);
  std::multiset<std::vector<int64_t>> expected, seen;
  for (uint64_t index = 0; index < 1024; ++index) expected.insert(source.example(index).prompt);
  int64_t padded = 0, tokens = 0;
  while (batcher.position().pool == 0) {
    const Batch batch = batcher.next();
    ASSERT_LE(batch.target.numel(), budget);
    EXPECT_EQ(batch.target.size(1) % 8, 0) << "few shapes: what a library prepares for each is large";
    EXPECT_EQ(batch.prompt.size(1) % 8, 0);
    EXPECT_EQ(batch.target_tokens, batch.target_lengths.sum().item<int64_t>());
    EXPECT_EQ(batch.target.ne(Vocabulary::pad).sum().item<int64_t>(), batch.target_tokens);
    padded += batch.target.numel();
    tokens += batch.target_tokens;
    for (int64_t row = 0; row < batch.prompt.size(0); ++row) {
      const auto prompt =
          batch.prompt[row].slice(0, 0, batch.prompt_lengths[row].item<int64_t>()).contiguous();
      seen.insert({prompt.data_ptr<int64_t>(), prompt.data_ptr<int64_t>() + prompt.numel()});
    }
  }
  EXPECT_EQ(seen, expected);
  EXPECT_GT(tokens, padded * 8 / 10) << "sorting inside a pool must keep the padding small";
}

TEST(Batcher, TheBatchesOfAPoolAreShuffled) {
  const ExampleSource source = training_source();
  Batcher batcher(source, 2048, 1);
  std::vector<int64_t> lengths;
  while (batcher.position().pool == 0) lengths.push_back(batcher.next().target.size(1));
  EXPECT_FALSE(std::is_sorted(lengths.begin(), lengths.end()));
  EXPECT_FALSE(std::is_sorted(lengths.rbegin(), lengths.rend()));
}

TEST(Batcher, SeekContinuesExactly) {
  const ExampleSource source = training_source();
  Batcher whole(source, 4096, 7);
  std::vector<Batch> batches;
  std::vector<Batcher::Position> positions;
  while (whole.position().pool < 2) {
    positions.push_back(whole.position());
    batches.push_back(whole.next());
  }
  ASSERT_GT(batches.size(), 10U);
  for (const size_t start : {size_t{0}, size_t{5}, batches.size() / 2, batches.size() - 1}) {
    Batcher resumed(source, 4096, 7);
    resumed.seek(positions[start]);
    for (size_t i = start; i < std::min(start + 6, batches.size()); ++i) {
      EXPECT_EQ(resumed.position().pool, positions[i].pool);
      EXPECT_EQ(resumed.position().batch, positions[i].batch);
      EXPECT_TRUE(same(resumed.next(), batches[i])) << i;
    }
  }
  Batcher other(source, 4096, 8);
  EXPECT_FALSE(same(other.next(), batches[0]));
}

TEST(Batcher, RefusesPositionsThatDoNotExist) {
  const ExampleSource source = training_source();
  Batcher batcher(source, 4096, 7);
  const Batch first = batcher.next();
  EXPECT_THROW(batcher.seek({0, 100000}), std::out_of_range);
  EXPECT_EQ(batcher.position().batch, 1U) << "a refused seek changes nothing";
  batcher.seek({0, 0});
  EXPECT_TRUE(same(batcher.next(), first));
}

TEST(Batcher, ABudgetBeyondAPoolGivesWholePools) {
  const ExampleSource source = training_source();
  Batcher batcher(source, int64_t{1} << 24, 7);
  EXPECT_EQ(batcher.next().prompt.size(0), 1024);
  EXPECT_EQ(batcher.position().pool, 1U);
}

TEST(Batcher, ABudgetBelowOneExampleGivesSingleExamples) {
  const ExampleSource source = training_source();
  Batcher batcher(source, 1, 7);
  EXPECT_EQ(batcher.next().prompt.size(0), 1);
  EXPECT_THROW(Batcher(source, 0, 7), std::invalid_argument);
  EXPECT_THROW(Batcher(source, -5, 7), std::invalid_argument);
}

TEST(Batcher, PassingOverBatchesCountsTheirTokensAndChangesNoOther) {
  const ExampleSource source = training_source();
  Batcher reader(source, 16384, 1), skipper(source, 16384, 1);
  for (int i = 0; reader.position().pool < 2; ++i) {
    const Batch expected = reader.next();
    if (i % 3 == 0) {
      EXPECT_TRUE(same(skipper.next(), expected)) << i;
    } else {
      EXPECT_EQ(skipper.skip(), expected.target_tokens) << i;
    }
    EXPECT_EQ(skipper.position().pool, reader.position().pool);
    EXPECT_EQ(skipper.position().batch, reader.position().batch);
  }
}

}  // namespace
}  // namespace giantrabbit::data
