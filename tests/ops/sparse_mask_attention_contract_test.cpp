// Corners of sparse_mask_attention's contract: empty problems, rows without keys, NaN and infinity, refused
// arguments.
#include <limits>

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "ops/attention_call.h"
#include "ops/reference/sparse_mask_attention.h"
#include "tests/ops/attention_cases.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::attend;
using test::every_mask;
using test::every_normalizer;
using test::expected_for;
using test::Inputs;
using test::message_of;
using test::random_inputs;
using test::Sizes;
using test_support::tensors_close;
using test_support::tensors_equal;

constexpr double kInfinite = std::numeric_limits<double>::infinity();

TEST(SparseMaskAttentionContractTest, EmptyInputs) {
  for (const Sizes& sizes : std::vector<Sizes>{{0, 2, 2, 3, 3, 4, 4},
                                               {2, 0, 0, 3, 3, 4, 4},
                                               {2, 2, 2, 0, 3, 4, 4},
                                               {2, 2, 2, 3, 0, 4, 4},
                                               {2, 2, 2, 3, 3, 0, 4},
                                               {2, 2, 2, 3, 3, 4, 0}}) {
    for (const auto& [name, mask] : every_mask(sizes)) {
      for (const Normalizer normalizer : every_normalizer()) {
        SCOPED_TRACE(name);
        const Inputs in = random_inputs(sizes, at::kFloat);
        const at::Tensor actual = attend(in, mask, normalizer);
        EXPECT_EQ(actual.sizes(),
                  (at::IntArrayRef{sizes.batch, sizes.heads, sizes.queries, sizes.value_width}));
        if (sizes.keys == 0) {
          EXPECT_EQ(actual.abs().sum().item<double>(), 0.0);
        } else {
          EXPECT_TRUE(tensors_close(actual.to(at::kDouble), expected_for(in, mask, normalizer), 5e-5));
        }
      }
    }
  }
}

TEST(SparseMaskAttentionContractTest, FullyMaskedRowsGiveZeros) {
  const Inputs in = random_inputs({2, 2, 2, 6, 4, 8, 8}, at::kFloat);
  SparseMask causal;  // six queries, four keys: the first two see nothing
  causal.causal = true;
  SparseMask lengths;
  lengths.key_lengths = torch::tensor({0, 4}, torch::kLong);
  for (const Normalizer normalizer : every_normalizer()) {
    const at::Tensor first = attend(in, causal, normalizer);
    EXPECT_EQ(first.narrow(2, 0, 2).abs().sum().item<double>(), 0.0);
    EXPECT_TRUE(first.narrow(2, 2, 4).abs().sum(-1).gt(0).all().item<bool>());
    EXPECT_EQ(attend(in, lengths, normalizer)[0].abs().sum().item<double>(), 0.0);
  }
}

TEST(SparseMaskAttentionContractTest, NanStaysInItsRow) {
  const Sizes sizes{1, 1, 1, 50, 50, 8, 8};
  SparseMask causal;
  causal.causal = true;
  for (const double poison : {std::nan(""), kInfinite, -kInfinite}) {
    for (const Normalizer normalizer : every_normalizer()) {
      const Inputs clean = random_inputs(sizes, at::kFloat);
      const at::Tensor expected = attend(clean, causal, normalizer);
      Inputs in = random_inputs(sizes, at::kFloat);
      in.query[0][0][7][3] = std::nan("");
      in.key[0][0][30].fill_(std::nan(""));
      in.value[0][0][40].fill_(poison);
      const at::Tensor actual = attend(in, causal, normalizer)[0][0];
      EXPECT_TRUE(actual[7].isnan().all().item<bool>());
      EXPECT_TRUE(actual.narrow(0, 30, 20).isnan().all().item<bool>()) << "rows that see the key with NaN";
      for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 7}, {8, 22}}) {
        EXPECT_TRUE(
            tensors_close(actual.narrow(0, begin, count), expected[0][0].narrow(0, begin, count), 1e-6))
            << normalizer_name(normalizer);
      }
    }
  }
}

TEST(SparseMaskAttentionContractTest, AValueWithWeightZeroDoesNotReachTheResult) {
  Inputs in = random_inputs({1, 1, 1, 4, 3, 2, 2}, at::kFloat);
  in.key.copy_(torch::tensor({1.0F, 0.0F, 0.0F, 1.0F, 30.0F, 30.0F}).view({3, 2}));
  in.query.fill_(1.0);
  in.value[0][0][0].fill_(std::nan(""));
  const at::Tensor actual = attend(in, {}, Normalizer::sparsemax);
  EXPECT_TRUE(tensors_equal(actual, in.value.narrow(2, 2, 1).expand_as(actual)));
}

TEST(SparseMaskAttentionContractTest, InfinityScores) {
  for (const Normalizer normalizer : every_normalizer()) {
    Inputs in = random_inputs({1, 1, 1, 3, 4, 2, 2}, at::kFloat);
    in.query[0][0][1] = torch::tensor({kInfinite, 0.0}).to(at::kFloat);
    in.query[0][0][2] = torch::tensor({1.0F, 0.0F});
    in.key[0][0].select(1, 0) = torch::tensor({-1.0F, -2.0F, 1.0F, -3.0F});
    in.key[0][0].select(1, 1).fill_(1.0);
    const at::Tensor poisoned = attend(in, {}, normalizer)[0][0];
    EXPECT_TRUE(poisoned[1].isnan().all().item<bool>()) << "+inf in a row gives NaN";
    EXPECT_TRUE(poisoned[0].isfinite().all().item<bool>());
    EXPECT_TRUE(poisoned[2].isfinite().all().item<bool>());
    in.key[0][0][2][0] = -1.0;  // now every score of row 1 is -inf: nothing permitted
    EXPECT_EQ(attend(in, {}, normalizer)[0][0][1].abs().sum().item<double>(), 0.0);
  }
}

TEST(SparseMaskAttentionContractTest, HugeScores) {
  for (const Normalizer normalizer : every_normalizer()) {
    Inputs in = random_inputs({1, 2, 2, 9, 9, 4, 4}, at::kFloat);
    in.query *= 1e4;
    in.key *= 1e4;
    const at::Tensor actual = attend(in, {}, normalizer);
    EXPECT_TRUE(actual.isfinite().all().item<bool>());
    // Scores of 1e8 lie far apart: all weight on the largest, as in the reference.
    EXPECT_TRUE(tensors_close(actual.to(at::kDouble), expected_for(in, {}, normalizer), 1e-6));
  }
}

class SparseMaskAttentionRefusals : public ::testing::Test {
 protected:
  // The message names the operator and holds every part.
  void expect_refused(const Inputs& in, const SparseMask& mask, const std::vector<std::string>& parts) {
    const std::string text = message_of([&] { attend(in, mask, Normalizer::sparsemax); });
    EXPECT_EQ(text.rfind("sparse_mask_attention: ", 0), 0U) << text;
    for (const std::string& part : parts)
      EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
  SparseMask lists(std::vector<int64_t> offsets, std::vector<int64_t> indices) {
    SparseMask mask;
    mask.row_offsets = torch::tensor(offsets, torch::kLong);
    mask.key_indices = torch::tensor(indices, torch::kLong);
    return mask;
  }
  Inputs in_ = random_inputs({2, 2, 2, 3, 4, 8, 8}, at::kFloat);
};

TEST_F(SparseMaskAttentionRefusals, BadShapes) {
  expect_refused({in_.query[0], in_.key, in_.value}, {}, {"[2, 3, 8]", "4 dimensions"});
  expect_refused({in_.query, in_.key, in_.value.narrow(2, 0, 2)}, {},
                 {"equal lengths", "[2, 2, 4, 8]", "[2, 2, 2, 8]"});
  expect_refused({in_.query.narrow(3, 0, 5), in_.key, in_.value}, {},
                 {"equal widths", "[2, 2, 3, 5]", "[2, 2, 4, 8]"});
  expect_refused({in_.query.narrow(0, 0, 1), in_.key, in_.value}, {},
                 {"batch", "[1, 2, 3, 8]", "[2, 2, 4, 8]"});
  expect_refused({in_.query, in_.key.repeat({1, 2, 1, 1}), in_.value.repeat({1, 2, 1, 1})}, {},
                 {"multiple", "[2, 2, 3, 8]", "[2, 4, 4, 8]"});
  expect_refused({in_.query, in_.key, in_.value.narrow(1, 0, 1)}, {}, {"numbers of heads", "[2, 1, 4, 8]"});
}

TEST_F(SparseMaskAttentionRefusals, BadDtypes) {
  expect_refused({in_.query.to(at::kLong), in_.key, in_.value}, {}, {"Long", "Float"});
  expect_refused({in_.query, in_.key.to(at::kDouble), in_.value}, {}, {"Float", "Double"});
}

TEST_F(SparseMaskAttentionRefusals, BadWindowAndLengths) {
  SparseMask window;
  window.window = 0;
  expect_refused(in_, window, {"window", "got 0"});
  SparseMask lengths;
  lengths.key_lengths = torch::tensor({1, 5}, torch::kLong);
  expect_refused(in_, lengths, {"key_lengths", "0 to 4", "got 5"});
  lengths.key_lengths = torch::tensor({-1, 2}, torch::kLong);
  expect_refused(in_, lengths, {"key_lengths", "got -1"});
  lengths.key_lengths = torch::tensor({1, 2, 3}, torch::kLong);
  expect_refused(in_, lengths, {"key_lengths", "[2]", "[3]"});
  lengths.key_lengths = torch::tensor({1, 2}, torch::kInt);
  expect_refused(in_, lengths, {"key_lengths", "Long", "Int"});
}

TEST_F(SparseMaskAttentionRefusals, BadLists) {
  EXPECT_NO_THROW(attend(in_, lists({0, 1, 1, 3}, {3, 0, 2}), Normalizer::sparsemax));
  expect_refused(in_, lists({0, 2, 2, 3}, {3, 0, 2}), {"key_indices", "rise", "got 0"});
  expect_refused(in_, lists({0, 2, 2, 3}, {3, 3, 2}), {"key_indices", "rise", "got 3"});
  expect_refused(in_, lists({0, 1, 1, 3}, {4, 0, 2}), {"key_indices", "0 to 3", "got 4"});
  expect_refused(in_, lists({0, 1, 1, 3}, {-1, 0, 2}), {"key_indices", "got -1"});
  expect_refused(in_, lists({0, 2, 1, 3}, {0, 1, 2}), {"row_offsets", "got 1 after 2"});
  expect_refused(in_, lists({0, 1, 2, 4}, {0, 1, 2}), {"row_offsets", "0 to 3", "got 4"});
  expect_refused(in_, lists({-1, 1, 2, 3}, {0, 1, 2}), {"row_offsets", "got -1"});
  expect_refused(in_, lists({0, 1, 3}, {0, 1, 2}), {"row_offsets", "[4]", "[3]"});
  SparseMask half = lists({0, 1, 2, 3}, {0, 1, 2});
  half.key_indices.reset();
  expect_refused(in_, half, {"together", "only row_offsets"});
  SparseMask blocks = lists({0, 1, 2, 3}, {0, 1, 2});
  blocks.block_columns = 0;
  expect_refused(in_, blocks, {"block_rows and block_columns", "1 and 0"});
}

TEST_F(SparseMaskAttentionRefusals, AnUnknownNormalizerListsTheKnownOnes) {
  static const auto handle = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("giantrabbit::sparse_mask_attention", "")
                                 .typed<ForwardArguments::Signature<at::Tensor>>();
  const std::string text = message_of(
      [&] { handle.call(in_.query, in_.key, in_.value, "sparse", {}, false, {}, {}, {}, {}, 1, 1, {}); });
  for (const char* part : {"softmax", "sparsemax", "entmax15", "'sparse'"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace giantrabbit::ops
