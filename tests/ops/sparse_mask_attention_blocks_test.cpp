// The dense CPU path by blocks of queries: masks whose blocks skip keys, against the reference in double;
// keys that no query may see; ranges of queries of any size; thread counts.
//
// Tolerance. The forward's bound of 5e-5 (sparse_mask_attention_test.cpp) holds for weights and results;
// gradients multiply such an error by sums over up to 300 keys of numbers below 5 with weights that sum to 1,
// and once more by a key or query: 5e-4 leaves that room.
#include <gtest/gtest.h>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "ops/cpu/attention_dense.h"
#include "tests/ops/attention_cases.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::every_normalizer;
using test::Inputs;
using test::random_inputs;
using test::Sizes;
using test_support::tensors_close;
using test_support::tensors_equal;

// Result and gradients of query, key and value for a fixed gradient of the result.
template <class Attend>
std::vector<at::Tensor> result_and_gradients(const Inputs& in, const Attend& attend) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& tensor : {in.query, in.key, in.value}) {
    leaves.push_back(tensor.detach().clone().requires_grad_(true));
  }
  const at::Tensor result = attend(leaves[0], leaves[1], leaves[2]);
  torch::manual_seed(test::kSeed + 3);
  const at::Tensor grad = torch::randn(result.sizes(), at::kDouble).to(result.scalar_type());
  std::vector<at::Tensor> all = torch::autograd::grad({result}, leaves, {grad});
  all.push_back(result.detach());
  return all;
}

std::vector<at::Tensor> all_results(const Inputs& in, const SparseMask& mask, Normalizer normalizer) {
  return result_and_gradients(in, [&](const auto& query, const auto& key, const auto& value) {
    return sparse_mask_attention(query, key, value, mask, normalizer);
  });
}

SparseMask listed_blocks(int64_t rows, int64_t columns, int64_t queries, int64_t keys, double share) {
  torch::manual_seed(test::kSeed + 4);
  SparseMask mask = SparseMask::from_dense(
      torch::rand({(queries + rows - 1) / rows, (keys + columns - 1) / columns}).lt(share));
  mask.block_rows = rows;
  mask.block_columns = columns;
  return mask;
}

TEST(DenseAttentionBlocksTest, ListsWithGapsMatchTheReference) {
  const Sizes sizes{2, 4, 2, 210, 300, 16, 24};
  const Inputs in = random_inputs(sizes, at::kFloat);
  const Inputs wide = in.to(at::kDouble);
  std::vector<SparseMask> masks = {listed_blocks(64, 64, 210, 300, 0.3), listed_blocks(7, 5, 210, 300, 0.1),
                                   listed_blocks(100, 33, 210, 300, 0.2),
                                   listed_blocks(1, 1, 210, 300, 0.02)};
  masks.push_back(masks[1]);
  masks.back().causal = true;
  masks.back().window = 90;
  masks.back().key_lengths = torch::tensor({299, 150}, torch::kLong);
  for (size_t i = 0; i < masks.size(); ++i) {
    for (const Normalizer normalizer : every_normalizer()) {
      SCOPED_TRACE("mask " + std::to_string(i) + " " + std::string(normalizer_name(normalizer)) + ", seed " +
                   std::to_string(test::kSeed));
      const auto actual = all_results(in, masks[i], normalizer);
      const auto expected =
          result_and_gradients(wide, [&](const auto& query, const auto& key, const auto& value) {
            return reference::sparse_mask_attention(query, key, value, masks[i], normalizer);
          });
      for (size_t part = 0; part < actual.size(); ++part) {
        EXPECT_TRUE(tensors_close(actual[part].to(at::kDouble), expected[part], 5e-4)) << "tensor " << part;
      }
    }
  }
}

TEST(DenseAttentionBlocksTest, MoreRowsInABlockThanQueries) {
  const Inputs in = random_inputs({1, 2, 1, 10, 64, 16, 16}, at::kFloat);
  SparseMask mask;
  mask.row_offsets = torch::tensor({0, 2}, torch::kLong);
  mask.key_indices = torch::tensor({0, 3}, torch::kLong);
  mask.block_rows = 10;
  const at::Tensor permitted = mask.dense(1, 2, 10, 64);
  for (const Normalizer normalizer : every_normalizer()) {
    mask.block_rows = 10;
    const auto expected = all_results(in, mask, normalizer);
    for (const int64_t rows : {int64_t{11}, int64_t{1} << 40, std::numeric_limits<int64_t>::max()}) {
      mask.block_rows = rows;
      EXPECT_TRUE(tensors_equal(mask.dense(1, 2, 10, 64), permitted));
      const auto actual = all_results(in, mask, normalizer);
      for (size_t part = 0; part < actual.size(); ++part) {
        EXPECT_TRUE(tensors_equal(actual[part], expected[part])) << rows << " tensor " << part;
      }
    }
  }
}

TEST(DenseAttentionBlocksTest, NanInASkippedKeyStaysOut) {
  const Sizes sizes{1, 2, 2, 120, 160, 16, 16};
  SparseMask mask = listed_blocks(40, 16, 120, 160, 0.4);
  const at::Tensor unseen = mask.dense(1, 1, 120, 160).flatten(0, 2).any(0).logical_not();
  ASSERT_TRUE(unseen.any().item<bool>()) << "seed " << test::kSeed;
  const Inputs clean = random_inputs(sizes, at::kFloat);
  const auto spoil = [&](const at::Tensor& tensor) {
    return tensor.masked_fill(unseen.view({1, 1, -1, 1}), std::numeric_limits<double>::quiet_NaN());
  };
  const Inputs spoilt{clean.query, spoil(clean.key), spoil(clean.value)};
  for (const Normalizer normalizer : every_normalizer()) {
    const auto expected = all_results(clean, mask, normalizer);
    const auto actual = all_results(spoilt, mask, normalizer);
    for (size_t part = 0; part < actual.size(); ++part) {
      EXPECT_TRUE(tensors_close(actual[part], expected[part], 5e-4)) << "tensor " << part;
    }
  }
}

TEST(DenseAttentionBlocksTest, ThreadCountsGiveEqualBits) {
  const int before = at::get_num_threads();
  const Inputs in = random_inputs({1, 4, 2, 210, 300, 16, 16}, at::kFloat);
  SparseMask window;
  window.causal = true;
  window.window = 70;
  for (const SparseMask& mask : {SparseMask{}, window, listed_blocks(64, 64, 210, 300, 0.3)}) {
    for (const Normalizer normalizer : every_normalizer()) {
      at::set_num_threads(1);
      const auto expected = all_results(in, mask, normalizer);
      at::set_num_threads(2);
      const auto actual = all_results(in, mask, normalizer);
      for (size_t part = 0; part < actual.size(); ++part) {
        EXPECT_TRUE(tensors_equal(actual[part], expected[part])) << "tensor " << part;
      }
    }
  }
  at::set_num_threads(before);
}

// A call of the classes themselves, for one key/value head with two query heads.
struct DenseCall {
  DenseCall(const Inputs& in, const SparseMask& mask, Normalizer normalizer)
      : call{in.query, in.key, in.value, std::nullopt, normalizer, std::nullopt, mask},
        problem(cpu::make_problem<float>(call)),
        grad(torch::ones_like(in.query)),
        results{torch::zeros_like(in.query), torch::zeros_like(in.key), torch::zeros_like(in.value),
                torch::zeros_like(in.query)} {}

  cpu::Targets<float> targets() const {
    return {cpu::heads_view<float>(results[0]),
            cpu::heads_view<float>(results[1]),
            cpu::heads_view<float>(results[2]),
            {}};
  }

  AttentionCall call;
  cpu::AttentionProblem<float> problem;
  at::Tensor grad;
  std::vector<at::Tensor> results;  // gradients of query, key and value, and the output
};

// Runs the ranges that `ends` cut the queries into; the sums are put down and taken up again between them.
std::vector<at::Tensor> in_ranges(const DenseCall& of, const std::vector<int64_t>& ends) {
  cpu::DenseForward<float> forward(of.problem, cpu::heads_view<float>(of.results[3]));
  cpu::DenseBackward<float> backward(of.problem, cpu::heads_view<const float>(of.grad), of.targets());
  forward.prepare_head(0, 0);
  bool first = true;
  for (int64_t head = 0; head < 2; ++head) {
    int64_t begin = 0;
    for (const int64_t end : ends) {
      forward.run({0, head, {begin, end}});
      backward.begin_head(0, 0, !first);
      backward.add({0, head, {begin, end}});
      backward.end_head();
      first = false;
      begin = end;
    }
  }
  return of.results;
}

// Rows of a head that lie far apart are brought together and the sums written back, onto what narrow blocks
// left there.
TEST(DenseAttentionBlocksTest, FarRowsGiveEqualBits) {
  const Sizes sizes{1, 2, 2, 400, 2100, 32, 32};
  const auto heads_last = [](const at::Tensor& x) { return x.transpose(1, 2).contiguous().transpose(1, 2); };
  for (const Normalizer normalizer : every_normalizer()) {
    Inputs in = random_inputs(sizes, at::kFloat);
    in.query.narrow(2, 0, 200) *= 0.001;
    const auto expected = all_results(in, {}, normalizer);
    const auto actual =
        all_results({heads_last(in.query), heads_last(in.key), heads_last(in.value)}, {}, normalizer);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(tensors_equal(actual[i], expected[i])) << normalizer_name(normalizer) << " " << i;
    }
  }
}

TEST(DenseAttentionBlocksTest, RangesOfAnySizeGiveTheSameResult) {
  SparseMask causal;
  causal.causal = true;
  // 16 columns are summed in place, 13 in scratch.
  for (const int64_t width : {16, 13}) {
    const Inputs in = random_inputs({1, 2, 1, 230, 230, width, width}, at::kFloat);
    for (const SparseMask& mask : {SparseMask{}, causal, listed_blocks(50, 20, 230, 230, 0.3)}) {
      for (const Normalizer normalizer : every_normalizer()) {
        const auto whole = in_ranges(DenseCall(in, mask, normalizer), {230});
        const auto parts = in_ranges(DenseCall(in, mask, normalizer), {1, 8, 97, 193, 230});
        EXPECT_TRUE(tensors_equal(parts[3], whole[3])) << normalizer_name(normalizer);
        for (size_t part = 0; part < 3; ++part) {
          const bool same = normalizer == Normalizer::softmax ? tensors_equal(parts[part], whole[part])
                                                              : tensors_close(parts[part], whole[part], 5e-4);
          EXPECT_TRUE(same) << normalizer_name(normalizer) << " tensor " << part;
        }
      }
    }
  }
}

}  // namespace
}  // namespace giantrabbit::ops
