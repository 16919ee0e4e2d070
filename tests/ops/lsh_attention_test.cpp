// lsh_attention and lsh_buckets against independent computations: the paper's rounds for softmax, exact
// attention under the same pairs for the sparse normalizers, plain tensors for the hash.
#include "ops/reference/lsh_attention.h"

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "tests/ops/lsh_cases.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::attend;
using test::every_lsh_pattern;
using test::every_normalizer;
using test::lsh_by_rounds;
using test::lsh_inputs;
using test::LshInputs;
using test::LshSizes;
using test_support::tensors_close;
using test_support::tensors_equal;

// function(name of the case, inputs in double, pattern) over lengths that divide by nothing, 1, 2 and 4
// rounds, every pattern.
template <class Function>
void for_each_case(const Function& function) {
  for (const int64_t length : {1, 2, 8, 13, 37}) {
    for (const int64_t rounds : {1, 2, 4}) {
      const LshSizes sizes{2, 2, length, 5, 3, rounds};
      for (const auto& [name, pattern] : every_lsh_pattern(sizes.batch, length)) {
        function(name + ", length " + std::to_string(length) + ", rounds " + std::to_string(rounds) +
                     ", seed " + std::to_string(test::kSeed),
                 lsh_inputs(sizes), pattern);
      }
    }
  }
}

// Double: both sides sum the same terms in another order, with rounding of 1e-16 each; but where a query sees
// only itself, several times, the log-sum-exp of the paper's way is rounded at 1e5, to 1.5e-11. The masks of
// -1e9 leave weights of exactly 0.
TEST(LshAttentionTest, SoftmaxIsThatOfThePapersRounds) {
  for_each_case([](const std::string& name, const LshInputs& in, const LshPattern& pattern) {
    EXPECT_TRUE(tensors_close(attend(in, pattern, Normalizer::softmax), lsh_by_rounds(in, pattern), 2e-10))
        << name;
  });
}

TEST(LshAttentionTest, SparseNormalizersAreExactOverThePairsThatHashingFound) {
  for_each_case([](const std::string& name, const LshInputs& in, const LshPattern& pattern) {
    const int64_t length = in.query.size(2);
    const at::Tensor valid = pattern.valid.value_or(torch::ones({in.query.size(0), length}, torch::kBool));
    std::vector<at::Tensor> seen;
    for (int64_t b = 0; b < in.query.size(0); ++b) {
      for (int64_t h = 0; h < in.query.size(1); ++h)
        seen.push_back(test::lsh_seen(in.buckets[b][h], pattern, valid[b]));
    }
    const SparseMask mask =
        SparseMask::from_dense(at::stack(seen).view({in.query.size(0), -1, length, length}));
    for (const Normalizer normalizer : {Normalizer::sparsemax, Normalizer::entmax15}) {
      EXPECT_TRUE(tensors_close(attend(in, pattern, normalizer),
                                sparse_mask_attention(in.query, in.key, in.value, mask, normalizer), 1e-12))
          << name << " " << normalizer_name(normalizer);
    }
  });
}

TEST(LshAttentionTest, MatchesReference) {
  for_each_case([](const std::string& name, const LshInputs& in, const LshPattern& pattern) {
    for (const Normalizer normalizer : every_normalizer()) {
      const at::Tensor expected =
          reference::lsh_attention(in.query, in.key, in.value, in.buckets, pattern, normalizer);
      EXPECT_TRUE(tensors_close(attend(in, pattern, normalizer), expected, 1e-12)) << name;
      // Scores of size 5 in fp32 err by some 1e-6, a sparse weight by as much.
      EXPECT_TRUE(
          tensors_close(attend(in.to(at::kFloat), pattern, normalizer).to(at::kDouble), expected, 2e-5))
          << name << " " << normalizer_name(normalizer);
    }
  });
}

TEST(LshAttentionTest, OneChunkOfEverythingIsExactAttention) {
  const LshInputs in = lsh_inputs({2, 2, 50, 16, 16, 3});
  const LshPattern pattern{50, 0, 0, true, false, {}};
  SparseMask causal;
  causal.causal = true;
  for (const Normalizer normalizer : every_normalizer()) {
    EXPECT_TRUE(tensors_close(attend(in, pattern, normalizer),
                              sparse_mask_attention(in.query, in.key, in.value, causal, normalizer), 1e-12));
  }
}

TEST(LshAttentionTest, WidthsOfWholeVectorsAndLongSequences) {
  const LshInputs in = lsh_inputs({1, 2, 700, 32, 48, 2});
  const LshPattern pattern{64, 1, 0, true, true, {}};
  for (const Normalizer normalizer : every_normalizer()) {
    const at::Tensor expected =
        reference::lsh_attention(in.query, in.key, in.value, in.buckets, pattern, normalizer);
    EXPECT_TRUE(tensors_close(attend(in, pattern, normalizer), expected, 1e-12));
    EXPECT_TRUE(
        tensors_close(attend(in.to(at::kFloat), pattern, normalizer).to(at::kDouble), expected, 2e-5));
  }
}

TEST(LshAttentionTest, ScaleAndOffsetsOfTheBuckets) {
  const LshInputs in = lsh_inputs({1, 1, 20, 4, 4, 3});
  const LshPattern pattern{4, 1, 0, false, true, {}};
  const at::Tensor expected =
      attend({in.query * 0.6, in.key, in.value, in.buckets}, pattern, Normalizer::softmax);
  const at::Tensor offset = 1000 * torch::arange(3, torch::kLong).view({3, 1});
  EXPECT_TRUE(tensors_close(
      lsh_attention(in.query, in.key, in.value, in.buckets - offset, pattern, Normalizer::softmax, 0.6 / 2.0),
      expected, 1e-13));
}

TEST(LshBucketsTest, FactorsAreHashedOneByOne) {
  torch::manual_seed(test::kSeed);
  const at::Tensor vectors = torch::randn({2, 3, 90, 7}, torch::kDouble);
  const LshHashing hashing = LshHashing::random(3, 7, 4, {6, 4, 2}, 5);
  const at::Tensor rotated = at::einsum("bhnd,hdrj->bhrnj", {vectors, hashing.rotations.to(at::kDouble)});
  at::Tensor expected = 48 * torch::arange(4, torch::kLong).view({4, 1});
  int64_t column = 0;
  int64_t factor = 1;
  for (const int64_t count : hashing.bucket_counts) {
    const at::Tensor part = rotated.narrow(4, column, count / 2);
    expected = expected + factor * at::cat({part, -part}, 4).argmax(4);
    column += count / 2;
    factor *= count;
  }
  EXPECT_TRUE(tensors_equal(lsh_buckets(vectors, hashing), expected)) << "seed " << test::kSeed;
  const at::Tensor found = lsh_buckets(vectors.to(at::kFloat), hashing).ne(expected);
  EXPECT_LT(found.sum().item<int64_t>(), 3) << "fp32 may flip a near tie, one in some 1e6";
}

TEST(LshBucketsTest, ASharedRotationAndPadding) {
  torch::manual_seed(test::kSeed);
  const at::Tensor vectors = torch::randn({2, 3, 40, 6}, torch::kDouble);
  const LshHashing shared = LshHashing::random(1, 6, 3, {8}, 9);
  const LshHashing repeated{shared.rotations.expand({3, 6, 3, 4}), {8}};
  const at::Tensor buckets = lsh_buckets(vectors, shared);
  EXPECT_TRUE(tensors_equal(buckets, lsh_buckets(vectors, repeated)));
  const at::Tensor valid = test::lsh_valid(2, 40);
  const at::Tensor round = torch::arange(3, torch::kLong).view({3, 1});
  const at::Tensor expected =
      at::where(valid.view({2, 1, 1, 40}), buckets + round, 9 * round + 8);  // one more bucket a round
  EXPECT_TRUE(tensors_equal(lsh_buckets(vectors, shared, valid), expected));
}

TEST(LshBucketsTest, EqualVectorsShareABucketAndSeedsDecide) {
  const at::Tensor ones = torch::ones({1, 1, 8, 5});
  const at::Tensor buckets = lsh_buckets(ones, LshHashing::random(1, 5, 3, {4}, 1))[0][0];
  for (int64_t round = 0; round < 3; ++round) {
    EXPECT_TRUE(buckets[round].eq(buckets[round][0]).all().item<bool>());
    EXPECT_EQ(buckets[round][0].item<int64_t>() / 4, round);
  }
  const at::Tensor first = LshHashing::random(2, 5, 3, {4}, 1).rotations;
  torch::manual_seed(77);  // the global generator plays no part
  EXPECT_TRUE(tensors_equal(first, LshHashing::random(2, 5, 3, {4}, 1).rotations));
  EXPECT_FALSE(tensors_equal(first, LshHashing::random(2, 5, 3, {4}, 2).rotations));
}

}  // namespace
}  // namespace giantrabbit::ops
