// squared_relu against relu(x)^2 by LibTorch's own operators, its gradients, and the corners of its contract.
#include "ops/squared_relu.h"

#include <limits>

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "tests/support/gradcheck.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test_support::gradcheck;
using test_support::gradgradcheck;
using test_support::tensors_equal;

// Values at least 0.1 away from the kink at 0.
at::Tensor away_from_zero(at::IntArrayRef sizes) {
  torch::manual_seed(31);
  const at::Tensor x = torch::randn(sizes, torch::kFloat64);
  return (x + 0.1 * x.sign()).requires_grad_();
}

TEST(SquaredReluTest, MatchesReference) {
  torch::manual_seed(32);
  for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
    const at::Tensor x = torch::randn({7, 33}, dtype);
    EXPECT_TRUE(tensors_equal(squared_relu(x), x.relu().square()));
    EXPECT_TRUE(tensors_equal(squared_relu(x.t()), x.t().relu().square().contiguous()));
  }
  // 16-bit values: squared in fp32, rounded once.
  const at::Tensor half = torch::randn({65}).to(torch::kBFloat16);
  EXPECT_TRUE(
      tensors_equal(squared_relu(half), half.to(torch::kFloat32).relu().square().to(torch::kBFloat16)));
}

TEST(SquaredReluTest, Gradcheck) {
  const auto function = [](const std::vector<at::Tensor>& in) { return squared_relu(in[0]); };
  EXPECT_TRUE(gradcheck(function, {away_from_zero({3, 5})}));
  EXPECT_TRUE(gradgradcheck(function, {away_from_zero({3, 5})}));
}

TEST(SquaredReluTest, EmptyOneAndNotFinite) {
  EXPECT_EQ(squared_relu(torch::empty({0, 4})).sizes(), (at::IntArrayRef{0, 4}));
  EXPECT_EQ(squared_relu(torch::full({}, 3.0)).item<double>(), 9.0);
  const double infinite = std::numeric_limits<double>::infinity();
  const at::Tensor x = torch::tensor({infinite, -infinite, std::nan(""), -0.0}, torch::kFloat64);
  const at::Tensor y = squared_relu(x);
  EXPECT_EQ(y[0].item<double>(), infinite);
  EXPECT_EQ(y[1].item<double>(), 0.0);
  EXPECT_TRUE(std::isnan(y[2].item<double>()));
  EXPECT_EQ(y[3].item<double>(), 0.0);
}

TEST(SquaredReluTest, ThreadCountsGiveEqualBits) {
  const at::Tensor x = torch::randn({300, 1024});
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = squared_relu(x);
  at::set_num_threads(2);
  const at::Tensor two = squared_relu(x);
  at::set_num_threads(before);
  EXPECT_TRUE(tensors_equal(one, two));
}

TEST(SquaredReluTest, Refusals) {
  EXPECT_THROW(squared_relu(torch::ones({2}, torch::kInt64)), c10::Error);
  EXPECT_THROW(squared_relu_backward(torch::ones({2}), torch::ones({3})), c10::Error);
  const at::Tensor bytes = torch::zeros({2}, torch::kMeta).to(torch::kFloat8_e4m3fn);
  EXPECT_THROW(squared_relu(bytes), c10::Error);
  EXPECT_THROW(squared_relu_backward(bytes, bytes), c10::Error);
  EXPECT_EQ(squared_relu(torch::empty({2, 3}, torch::kMeta)).sizes(), (at::IntArrayRef{2, 3}));
}

}  // namespace
}  // namespace giantrabbit::ops
