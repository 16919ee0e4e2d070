// Fenchel-Young losses: values against their definitions, both derivatives, and the contract for ignored,
// impossible and unpermitted targets.
#include "ops/sparsemax_loss.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "ops/reference/sparsemax_loss.h"
#include "ops/sparsemax.h"
#include "tests/support/gradcheck.h"
#include "tests/support/seeded.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test_support::gradcheck;
using test_support::gradgradcheck;
using test_support::tensors_close;
using test_support::tensors_equal;

constexpr float kLossInfinity = std::numeric_limits<float>::infinity();

struct LossOperator {
  const char* name;
  at::Tensor (*op)(const at::Tensor&, const at::Tensor&);
  at::Tensor (*reference)(const at::Tensor&, const at::Tensor&);
  at::Tensor (*normalizer)(const at::Tensor&, int64_t);
};

class SparsemaxLossTest : public test_support::Seeded<::testing::TestWithParam<LossOperator>> {
 protected:
  at::Tensor apply(const at::Tensor& logits, const at::Tensor& target) const {
    return GetParam().op(logits, target);
  }
};

at::Tensor targets(std::vector<int64_t> values) { return torch::tensor(values, at::kLong); }

TEST_P(SparsemaxLossTest, Smoke) {
  const at::Tensor losses = apply(torch::randn({2, 3, 7}), torch::randint(7, {2, 3}, at::kLong));
  EXPECT_EQ(losses.sizes(), at::IntArrayRef({2, 3}));
  EXPECT_TRUE(losses.ge(0).all().item<bool>());
}

TEST_P(SparsemaxLossTest, MatchesReference) {
  for (const int64_t classes : {1, 2, 9, 40, 700}) {
    for (const double spread : {0.01, 1.0, 20.0}) {
      const at::Tensor logits = torch::randn({30, classes}, at::kDouble) * spread;
      const at::Tensor target = torch::randint(classes, {30}, at::kLong);
      const at::Tensor wanted = GetParam().reference(logits, target);
      EXPECT_TRUE(tensors_close(apply(logits, target), wanted, 1e-12, 1e-13)) << classes << " classes";
      // fp32 weights are off by 1e-7 each and meet differences of logits of at most 1 (2 for entmax-1.5)
      // beside the target's own.
      const at::Tensor single = logits.to(at::kFloat);
      EXPECT_TRUE(tensors_close(apply(single, target),
                                GetParam().reference(single.to(at::kDouble), target).to(at::kFloat), 4e-6,
                                1e-6))
          << classes << " classes";
    }
  }
}

TEST_P(SparsemaxLossTest, KnownValues) {
  // Two equal logits: p = (1/2, 1/2); sparsemax (1 - 1/2) / 2, entmax-1.5 (1 - 2 * 2^-1.5) * 4/3.
  const double wanted =
      std::string(GetParam().name) == "sparsemax_loss" ? 0.25 : (1.0 - std::sqrt(0.5)) * 4.0 / 3.0;
  const at::Tensor losses = apply(torch::full({1, 2}, 5.0, at::kDouble), targets({1}));
  EXPECT_NEAR(losses.item<double>(), wanted, 1e-15);
}

TEST_P(SparsemaxLossTest, ZeroExactlyWhenAllWeightIsOnTheTarget) {
  const at::Tensor logits = torch::tensor({{1e8F, 0.0F, -1e8F}, {3.0F, 0.5F, 1.0F}});
  EXPECT_TRUE(tensors_equal(apply(logits, targets({0, 0})), torch::zeros({2})));
  const at::Tensor wrong = apply(logits, targets({1, 1}));
  EXPECT_TRUE(tensors_close(wrong, torch::tensor({1e8F, 2.5F}), 0.0, 1e-7));
}

TEST_P(SparsemaxLossTest, Gradcheck) {
  const at::Tensor logits =
      torch::tensor({{0.9, 0.1, 0.5, -1.7}, {2.0, 1.93, 0.2, 1.71}, {-0.3, -0.31, -0.32, -0.34}}, at::kDouble)
          .set_requires_grad(true);
  const at::Tensor target = targets({3, -100, 2});
  const auto function = [&](const std::vector<at::Tensor>& inputs) { return apply(inputs[0], target); };
  EXPECT_TRUE(gradcheck(function, {logits}));
  EXPECT_TRUE(gradgradcheck(function, {logits}));
}

TEST_P(SparsemaxLossTest, GradientIsWeightsMinusOneHot) {
  const at::Tensor logits = torch::randn({20, 50}, at::kDouble).set_requires_grad(true);
  const at::Tensor target = torch::randint(50, {20}, at::kLong);
  const at::Tensor grad = torch::autograd::grad({apply(logits, target).sum()}, {logits})[0];
  const at::Tensor wanted =
      GetParam().normalizer(logits.detach(), -1) - torch::one_hot(target, 50).to(at::kDouble);
  EXPECT_TRUE(tensors_equal(grad, wanted));
}

TEST_P(SparsemaxLossTest, ExpandedGradientAndStridedInput) {
  const at::Tensor base = torch::randn({9, 6}, at::kDouble);
  const at::Tensor strided = base.clone().set_requires_grad(true);
  const at::Tensor plain = base.t().contiguous().set_requires_grad(true);
  const at::Tensor target = torch::randint(9, {12}, at::kLong).slice(0, 0, 12, 2);
  const at::Tensor grad = torch::full({1}, 0.5, at::kDouble).expand({6});
  const at::Tensor first = torch::autograd::grad({apply(strided.t(), target)}, {strided}, {grad})[0];
  const at::Tensor second =
      torch::autograd::grad({apply(plain, target.contiguous())}, {plain}, {grad.contiguous()})[0];
  EXPECT_TRUE(tensors_equal(first.t(), second));
}

TEST_P(SparsemaxLossTest, IgnoredTarget) {
  at::Tensor logits = torch::randn({3, 5});
  logits[1][2] = std::numeric_limits<float>::quiet_NaN();
  logits.set_requires_grad(true);
  const at::Tensor losses = apply(logits, targets({0, -100, 4}));
  EXPECT_EQ(losses[1].item<float>(), 0.0F);
  losses.sum().backward();
  EXPECT_TRUE(tensors_equal(logits.grad()[1], torch::zeros({5})));
  EXPECT_TRUE(logits.grad().isfinite().all().item<bool>());
}

TEST_P(SparsemaxLossTest, InfinityAndNan) {
  at::Tensor logits = torch::randn({4, 5});
  logits[1][2] = std::numeric_limits<float>::quiet_NaN();
  logits[2][0] = kLossInfinity;
  logits.set_requires_grad(true);
  const at::Tensor losses = apply(logits, targets({0, 1, 1, 2}));
  EXPECT_TRUE(tensors_equal(losses.isnan(), torch::tensor({false, true, true, false})));
  losses.sum().backward();
  EXPECT_TRUE(tensors_equal(logits.grad().isnan().all(-1), torch::tensor({false, true, true, false})));
  EXPECT_TRUE(tensors_equal(logits.grad().isnan().any(-1), torch::tensor({false, true, true, false})));
}

TEST_P(SparsemaxLossTest, TargetNotPermitted) {
  at::Tensor logits =
      torch::tensor({{1.0F, -kLossInfinity, 0.5F}, {-kLossInfinity, -kLossInfinity, -kLossInfinity}})
          .set_requires_grad(true);
  const at::Tensor losses = apply(logits, targets({1, 1}));
  EXPECT_TRUE(tensors_equal(losses, torch::tensor({kLossInfinity, 0.0F})));
  const at::Tensor grad = torch::autograd::grad({losses.sum()}, {logits})[0];
  EXPECT_EQ(grad[0][1].item<float>(), -1.0F);
  EXPECT_TRUE(tensors_equal(grad[1], torch::zeros({3})));
}

TEST_P(SparsemaxLossTest, EmptyInput) {
  EXPECT_EQ(apply(torch::zeros({0, 4}), torch::zeros({0}, at::kLong)).sizes(), at::IntArrayRef({0}));
  EXPECT_TRUE(tensors_equal(apply(torch::zeros({2, 0}), targets({-100, -100})), torch::zeros({2})));
  EXPECT_EQ(apply(torch::zeros({4}), torch::tensor(2, at::kLong)).dim(), 0);
}

TEST_P(SparsemaxLossTest, HalfPrecision) {
  const at::Tensor wide = torch::randn({6, 30});
  const at::Tensor target = torch::randint(30, {6}, at::kLong);
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    const at::Tensor logits = wide.to(dtype).set_requires_grad(true);
    const at::Tensor single = logits.detach().to(at::kFloat).set_requires_grad(true);
    const at::Tensor losses = apply(logits, target);
    EXPECT_TRUE(tensors_equal(losses, apply(single, target)));
    losses.sum().backward();
    apply(single, target).sum().backward();
    EXPECT_TRUE(tensors_equal(logits.grad(), single.grad().to(dtype)));
    EXPECT_TRUE(tensors_equal(apply(logits.detach(), target), losses));
  }
}

TEST_P(SparsemaxLossTest, RejectsBadTarget) {
  const auto refusal = [&](const at::Tensor& logits, const at::Tensor& target) -> std::string {
    try {
      apply(logits, target);
    } catch (const c10::Error& error) {
      return error.what_without_backtrace();
    }
    return "accepted";
  };
  const std::string name = GetParam().name;
  EXPECT_EQ(refusal(torch::zeros({2, 5}), targets({0, 5})),
            name + ": expected targets in [0, 5) or -100, got 5 in row 1");
  EXPECT_EQ(refusal(torch::zeros({2, 5}), targets({-1, 4})),
            name + ": expected targets in [0, 5) or -100, got -1 in row 0");
  EXPECT_EQ(refusal(torch::zeros({2, 5}), targets({1, 2, 3})),
            name + ": expected one target per row, got rows [2, 5] and target [3]");
  EXPECT_EQ(refusal(torch::zeros({2, 5}), torch::zeros({2})), name + ": expected an int64 target, got Float");
  EXPECT_EQ(refusal(torch::zeros({2, 5}, at::kLong), targets({1, 2})),
            name + ": expected a floating dtype of Float, Double, BFloat16 and Half, got Long");
  EXPECT_EQ(refusal(torch::zeros({2, 5}).to(at::kFloat8_e4m3fn), targets({1, 2})),
            name + ": expected a floating dtype of Float, Double, BFloat16 and Half, got Float8_e4m3fn");
}

TEST_P(SparsemaxLossTest, ThreadCountsGiveEqualBits) {
  const at::Tensor logits = torch::randn({700, 200}).set_requires_grad(true);
  const at::Tensor target = torch::randint(200, {700}, at::kLong);
  const int threads = at::get_num_threads();
  std::vector<at::Tensor> losses;
  std::vector<at::Tensor> grads;
  for (const int count : {1, 2}) {
    at::set_num_threads(count);
    losses.push_back(apply(logits, target));
    grads.push_back(torch::autograd::grad({losses.back().sum()}, {logits})[0]);
  }
  at::set_num_threads(threads);
  EXPECT_TRUE(tensors_equal(losses[0], losses[1]));
  EXPECT_TRUE(tensors_equal(grads[0], grads[1]));
}

TEST_P(SparsemaxLossTest, MetaShapes) {
  const at::Tensor losses = apply(torch::zeros({2, 3, 7}, at::TensorOptions(at::kMeta).dtype(at::kHalf)),
                                  torch::zeros({2, 3}, at::TensorOptions(at::kMeta).dtype(at::kLong)));
  EXPECT_EQ(losses.sizes(), at::IntArrayRef({2, 3}));
  EXPECT_EQ(losses.scalar_type(), at::kFloat);
}

INSTANTIATE_TEST_SUITE_P(
    , SparsemaxLossTest,
    ::testing::Values(LossOperator{"sparsemax_loss", sparsemax_loss, reference::sparsemax_loss, sparsemax},
                      LossOperator{"entmax15_loss", entmax15_loss, reference::entmax15_loss, entmax15}),
    [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace giantrabbit::ops
