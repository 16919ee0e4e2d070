// The row contract of exact sparse attention: NaN and infinity in a query, a key, a value or a gradient reach
// the rows they belong to and no other, hidden ones reach nothing, rows without keys give zeros.
#include <limits>

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "tests/ops/exact_attention_checks.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::Inputs;
using test::random_inputs;
using test::Sizes;
using test_support::tensors_close;
using test_support::tensors_equal;

constexpr Sizes kContractSizes{1, 1, 1, 300, 300, 32, 32};
constexpr double kLargest = std::numeric_limits<double>::infinity();
// Clean rows may change from the exact path to the dense one, whose sums have another order: the scores of
// these inputs stay below 8 and their rounding below (32 + 8) 2^-24 64 = 1.5e-4 by the bound of
// Note [Tolerances of exact attention]; a row with a NaN or a missing key is off by far more than 1e-3.
constexpr double kOtherPath = 1e-3;

struct ContractRun {
  at::Tensor output;  // [M, e]
  at::Tensor query_grad;
  at::Tensor key_grad;
  at::Tensor value_grad;
};

ContractRun contract_run(const Inputs& in, const SparseMask& mask, Normalizer normalizer,
                         const at::Tensor& grad) {
  const AttentionCall call{in.query, in.key, in.value, std::nullopt, normalizer, std::nullopt, mask};
  const auto [output, saved] = call_attention_forward(call);
  const auto gradients = call_attention_backward(grad, call, saved, {true, true, true, false});
  return {output[0][0], std::get<0>(gradients)[0][0], std::get<1>(gradients)[0][0],
          std::get<2>(gradients)[0][0]};
}

// Forward and backward under a causal mask.
class ExactAttentionContractTest : public ::testing::TestWithParam<Normalizer> {
 protected:
  ExactAttentionContractTest() { mask_.causal = true; }
  ContractRun run(const Inputs& in) const { return contract_run(in, mask_, GetParam(), grad_); }
  at::Tensor weights(const Inputs& in) const {
    return test::kernel_support({in.query, in.key, in.value, {}, GetParam(), {}, mask_}).weights[0][0];
  }
  static void expect_rows(const at::Tensor& rows, const at::Tensor& actual, const at::Tensor& expected) {
    EXPECT_TRUE(tensors_close(actual.index({rows}), expected.index({rows}), kOtherPath));
  }

  SparseMask mask_;
  Inputs in_ = random_inputs(kContractSizes, at::kFloat);
  at::Tensor grad_ = test::random_output_grad({in_});
  at::Tensor places_ = torch::arange(300);
};

TEST_P(ExactAttentionContractTest, AQueryThatIsNotFinite) {
  const ContractRun clean = run(in_);
  for (const int64_t row : {0, 50, 100, 299}) {
    for (const double poison : {std::nan(""), kLargest, -kLargest}) {
      Inputs in = random_inputs(kContractSizes, at::kFloat);
      in.query[0][0][row][3] = poison;
      const ContractRun actual = run(in);
      SCOPED_TRACE(std::to_string(row) + " " + std::to_string(poison));
      // An infinite coordinate leaves rows of +inf, -inf: row 0 may see nothing but -inf, which is "empty".
      if (std::isnan(poison) || row > 0) {
        EXPECT_TRUE(actual.output[row].isnan().all().item<bool>());
        EXPECT_TRUE(actual.query_grad[row].isnan().all().item<bool>());
      }
      expect_rows(places_.ne(row), actual.output, clean.output);
      expect_rows(places_.ne(row), actual.query_grad, clean.query_grad);
      expect_rows(places_.gt(row), actual.key_grad, clean.key_grad);
      expect_rows(places_.gt(row), actual.value_grad, clean.value_grad);
    }
  }
}

TEST_P(ExactAttentionContractTest, AKeyThatIsNan) {
  const ContractRun clean = run(in_);
  for (const int64_t key : {0, 130, 299}) {
    Inputs in = random_inputs(kContractSizes, at::kFloat);
    in.key[0][0][key][31] = std::nan("");
    const ContractRun actual = run(in);
    EXPECT_TRUE(actual.output.index({places_.ge(key)}).isnan().all().item<bool>()) << key;
    expect_rows(places_.lt(key), actual.output, clean.output);
    expect_rows(places_.lt(key), actual.query_grad, clean.query_grad);
  }
}

TEST_P(ExactAttentionContractTest, AKeyThatIsInfinite) {
  for (const double poison : {kLargest, -kLargest}) {
    in_.key[0][0][130][5] = poison;
    // Where the query is opposite the score is -inf: not permitted, as if the mask hid the key.
    const at::Tensor opposite = in_.query[0][0].select(1, 5).mul(poison).lt(0);
    const at::Tensor sees = places_.ge(130);
    const ContractRun actual = run(in_);
    EXPECT_TRUE(actual.output.index({sees.logical_and(opposite.logical_not())}).isnan().all().item<bool>());
    at::Tensor permitted = torch::ones({300, 300}, torch::kBool).tril();
    permitted.select(1, 130).fill_(false);
    Inputs without = random_inputs(kContractSizes, at::kFloat);
    const ContractRun expected = contract_run(without, SparseMask::from_dense(permitted), GetParam(), grad_);
    expect_rows(opposite.logical_or(sees.logical_not()), actual.output, expected.output);
    expect_rows(opposite.logical_or(sees.logical_not()), actual.query_grad, expected.query_grad);
  }
}

TEST_P(ExactAttentionContractTest, AValueReachesTheRowsThatUseIt) {
  const ContractRun clean = run(in_);
  const at::Tensor users = weights(in_).gt(0).sum(0);
  const std::array<int64_t, 2> places{users.argmax().item<int64_t>(),
                                      150 + users.narrow(0, 150, 150).argmax().item<int64_t>()};
  for (const int64_t place : places) {
    for (const double poison : {std::nan(""), kLargest}) {
      Inputs in = random_inputs(kContractSizes, at::kFloat);
      in.value[0][0][place].fill_(poison);
      const at::Tensor uses = weights(in).select(1, place).gt(0);
      ASSERT_TRUE(uses.any().item<bool>());
      ASSERT_FALSE(uses.all().item<bool>());
      const ContractRun actual = run(in);
      EXPECT_TRUE(actual.output.index({uses}).isfinite().logical_not().all().item<bool>());
      EXPECT_TRUE(
          tensors_equal(actual.output.index({uses.logical_not()}), clean.output.index({uses.logical_not()})));
      EXPECT_TRUE(tensors_equal(actual.query_grad.index({uses.logical_not()}),
                                clean.query_grad.index({uses.logical_not()})));
      EXPECT_TRUE(tensors_equal(actual.value_grad, clean.value_grad)) << "does not depend on the values";
    }
  }
}

TEST_P(ExactAttentionContractTest, AGradientReachesTheKeysOfItsRow) {
  const ContractRun clean = run(in_);
  const at::Tensor untouched = weights(in_)[200].eq(0);
  grad_[0][0][200].fill_(std::nan(""));
  const ContractRun actual = run(in_);
  EXPECT_TRUE(actual.query_grad[200].isnan().all().item<bool>());
  EXPECT_TRUE(
      tensors_equal(actual.query_grad.index({places_.ne(200)}), clean.query_grad.index({places_.ne(200)})));
  EXPECT_TRUE(tensors_equal(actual.key_grad.index({untouched}), clean.key_grad.index({untouched})));
  EXPECT_TRUE(tensors_equal(actual.value_grad.index({untouched}), clean.value_grad.index({untouched})));
  EXPECT_TRUE(actual.value_grad.index({untouched.logical_not()}).isnan().all().item<bool>());
}

TEST_P(ExactAttentionContractTest, HiddenKeysReachNothing) {
  const ContractRun clean = [&] {
    mask_.key_lengths = torch::tensor({250}, torch::kLong);
    return run(in_);
  }();
  for (const double poison : {std::nan(""), kLargest, 1e30, 3e38}) {
    Inputs in = random_inputs(kContractSizes, at::kFloat);
    in.key[0][0].narrow(0, 250, 50).fill_(poison);
    in.value[0][0].narrow(0, 250, 50).fill_(poison);
    const ContractRun actual = run(in);
    SCOPED_TRACE(poison);
    expect_rows(places_.ge(0), actual.output, clean.output);
    expect_rows(places_.ge(0), actual.query_grad, clean.query_grad);
    expect_rows(places_.ge(0), actual.key_grad, clean.key_grad);
    EXPECT_EQ(actual.key_grad.narrow(0, 250, 50).abs().sum().item<double>(), 0.0);
    EXPECT_EQ(actual.value_grad.narrow(0, 250, 50).abs().sum().item<double>(), 0.0);
  }
}

TEST_P(ExactAttentionContractTest, RowsWithoutKeysGiveZeros) {
  const Sizes sizes{3, 2, 1, 310, 200, 32, 32};  // causal: the first 110 queries see nothing
  const Inputs in = random_inputs(sizes, at::kFloat);
  mask_.key_lengths = torch::tensor({0, 100, 200}, torch::kLong);
  const AttentionCall call{in.query, in.key, in.value, {}, GetParam(), {}, mask_};
  const auto [output, saved] = call_attention_forward(call);
  const at::Tensor grad = test::random_output_grad({in});
  const auto gradients = call_attention_backward(grad, call, saved, {true, true, true, false});
  const auto expect_zeros = [](const at::Tensor& tensor) {
    EXPECT_EQ(tensor.abs().sum().item<double>(), 0.0);
  };
  for (const at::Tensor& rows : {output, std::get<0>(gradients)}) {
    expect_zeros(rows[0]);
    expect_zeros(rows.narrow(2, 0, 110));
    EXPECT_TRUE(rows.narrow(2, 110, 200).narrow(0, 1, 2).isfinite().all().item<bool>());
  }
  expect_zeros(std::get<1>(gradients)[0]);
  expect_zeros(std::get<2>(gradients)[0]);
  expect_zeros(std::get<2>(gradients)[1].narrow(1, 100, 100));
  EXPECT_TRUE(output.narrow(2, 110, 200).narrow(0, 1, 2).abs().sum(-1).gt(0).all().item<bool>());
}

// Scores beyond fp32: +inf or NaN in a row, so NaN; the other rows do not notice.
TEST_P(ExactAttentionContractTest, ScoresThatOverflow) {
  const ContractRun clean = run(in_);
  for (const double factor : {1e19, 1e30, 1e38}) {
    Inputs in = random_inputs(kContractSizes, at::kFloat);
    in.query[0][0][250] *= factor;
    in.key[0][0][250] = in.query[0][0][250].sign() * 3e38 / factor * 100.0;
    const at::Tensor sees = places_.ge(250);
    const ContractRun actual = run(in);
    SCOPED_TRACE(factor);
    EXPECT_TRUE(actual.output[250].isnan().all().item<bool>());
    expect_rows(sees.logical_not(), actual.output, clean.output);
    expect_rows(sees.logical_not(), actual.query_grad, clean.query_grad);
  }
}

// All combinations of the gradients that are needed give the same bits.
TEST_P(ExactAttentionContractTest, OnlyNeededGradients) {
  for (const double factor : {0.003, 1.0}) {
    for (const int64_t width : {32, 20}) {
      Inputs in = random_inputs({2, 4, 2, 200, 300, width, 16}, at::kFloat);
      in.query.narrow(2, 0, 150) *= factor;  // mixed blocks, unless all are narrow
      const AttentionCall call{in.query, in.key, in.value, std::nullopt, GetParam(), std::nullopt, mask_};
      const auto saved = std::get<1>(call_attention_forward(call));
      const at::Tensor grad = test::random_output_grad({in});
      const auto all = call_attention_backward(grad, call, saved, {true, true, true, false});
      const std::array<at::Tensor, 3> full{std::get<0>(all), std::get<1>(all), std::get<2>(all)};
      for (unsigned wanted = 0; wanted < 8; ++wanted) {
        const NeededGradients needed{(wanted & 1) != 0, (wanted & 2) != 0, (wanted & 4) != 0, false};
        const auto some = call_attention_backward(grad, call, saved, needed);
        const std::array<at::Tensor, 3> partial{std::get<0>(some), std::get<1>(some), std::get<2>(some)};
        for (size_t i = 0; i < 3; ++i) {
          ASSERT_EQ(partial[i].defined(), needed[i]);
          if (needed[i]) {
            EXPECT_TRUE(tensors_equal(partial[i], full[i])) << wanted << ' ' << i;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sparse, ExactAttentionContractTest,
                         ::testing::Values(Normalizer::sparsemax, Normalizer::entmax15),
                         [](const auto& of) { return std::string(normalizer_name(of.param)); });

}  // namespace
}  // namespace giantrabbit::ops
