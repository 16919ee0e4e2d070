// sparsemax and entmax-1.5: values, derivatives and the row contract, against the sort-based definition,
// against exact golden rows, and on inputs that break things.
#include "ops/sparsemax.h"

#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include "ops/reference/sparsemax.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/seeded.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test_support::golden_tensor;
using test_support::gradcheck;
using test_support::gradgradcheck;
using test_support::tensors_close;
using test_support::tensors_equal;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct RowOperator {
  const char* name;
  at::Tensor (*op)(const at::Tensor&, int64_t);
  at::Tensor (*backward)(const at::Tensor&, const at::Tensor&, int64_t);
  at::Tensor (*reference)(const at::Tensor&, int64_t);
  const char* golden;
};

class SparsemaxTest : public test_support::Seeded<::testing::TestWithParam<RowOperator>> {
 protected:
  at::Tensor apply(const at::Tensor& scores, int64_t dim = -1) const { return GetParam().op(scores, dim); }
  at::Tensor expected(const at::Tensor& scores, int64_t dim = -1) const {
    return GetParam().reference(scores, dim);
  }
  test_support::TensorFunction function(int64_t dim) const {
    return [this, dim](const std::vector<at::Tensor>& inputs) { return apply(inputs[0], dim); };
  }
};

// A row whose every entry is at least 1e-2 from the threshold of both operators, so that no difference
// quotient crosses a change of support.
at::Tensor rows_off_the_kinks() {
  return torch::tensor({{0.9, 0.1, 0.5, -1.7}, {2.0, 1.93, 0.2, 1.71}, {-0.3, -0.31, -0.32, -0.34}},
                       at::kDouble)
      .set_requires_grad(true);
}

TEST_P(SparsemaxTest, Smoke) {
  const at::Tensor weights = apply(torch::randn({3, 5}));
  EXPECT_TRUE(tensors_close(weights.sum(-1), torch::ones({3}), 3e-7));  // 5 roundings of numbers below 1
  EXPECT_TRUE(weights.ge(0).all().item<bool>());
  EXPECT_TRUE(weights.is_contiguous());
}

TEST_P(SparsemaxTest, MatchesReference) {
  for (const int64_t n : {1, 2, 3, 7, 8, 9, 31, 64, 100, 513, 2100, 4100}) {
    for (const double spread : {0.0, 0.0001, 0.001, 0.01, 0.3, 1.0, 4.0, 50.0}) {
      const at::Tensor scores = torch::randn({6, n}, at::kDouble) * spread;
      // Weights are differences of numbers up to 1: a few double roundings, and the reference's own sums.
      EXPECT_TRUE(tensors_close(apply(scores), expected(scores), 1e-14))
          << n << " entries, spread " << spread;
      const at::Tensor single = scores.to(at::kFloat);
      // fp32 rounds y, tau and the weight once each, 3e-8 at most; entmax-1.5 doubles that by squaring.
      EXPECT_TRUE(tensors_close(apply(single), expected(single.to(at::kDouble)).to(at::kFloat), 2e-7))
          << n << " entries, spread " << spread;
    }
  }
}

TEST_P(SparsemaxTest, MatchesReferenceWithEntriesNotPermitted) {
  at::Tensor scores = torch::randn({40, 37}, at::kDouble);
  scores.masked_fill_(torch::rand({40, 37}) < 0.6, -kInf);
  const at::Tensor weights = apply(scores);
  EXPECT_TRUE(tensors_close(weights, expected(scores), 1e-14));
  EXPECT_TRUE(weights.masked_select(scores.isinf()).eq(0).all().item<bool>());
}

TEST_P(SparsemaxTest, MatchesGolden) {
  const auto rows = test_support::load_golden("sparsemax_golden.json").at(GetParam().golden);
  ASSERT_EQ(rows.size(), std::string(GetParam().golden) == "rows" ? 67U : 18U);
  for (const auto& row : rows) {
    SCOPED_TRACE(row.at("name").get<std::string>());
    const at::Tensor scores = golden_tensor(row.at("z"));
    const at::Tensor weights = golden_tensor(row.at("p"));
    const at::Tensor vector = golden_tensor(row.at("v"));
    const at::Tensor product = golden_tensor(row.at("jvp"));
    EXPECT_TRUE(tensors_close(apply(scores), weights, 1e-15));
    EXPECT_TRUE(tensors_close(GetParam().backward(vector, apply(scores), -1), product, 2e-15, 2e-15));
    const at::Tensor single = apply(scores.to(at::kFloat));
    EXPECT_TRUE(tensors_close(single, weights.to(at::kFloat), 2e-7));
    const bool has_margin = row.contains("threshold_margin") && row.at("threshold_margin").is_number();
    const double margin = has_margin ? row.at("threshold_margin").get<double>() : 1.0;
    if (margin != 0.0 && margin < 1e-6) continue;  // fp32 may place such an entry on the other side
    EXPECT_TRUE(tensors_equal(single.ne(0), weights.ne(0)));
    EXPECT_TRUE(
        tensors_close(GetParam().backward(vector.to(at::kFloat), single, -1), product.to(at::kFloat), 1e-6));
  }
}

TEST_P(SparsemaxTest, Gradcheck) {
  const at::Tensor scores = rows_off_the_kinks();
  EXPECT_TRUE(gradcheck(function(-1), {scores}));
  EXPECT_TRUE(gradcheck(function(0), {scores}));
}

TEST_P(SparsemaxTest, GradGradcheck) {
  const at::Tensor scores = rows_off_the_kinks();
  EXPECT_TRUE(gradgradcheck(function(-1), {scores}));
  EXPECT_TRUE(gradgradcheck(function(0), {scores}));
}

TEST_P(SparsemaxTest, GradientMatchesReference) {
  const at::Tensor scores = (torch::randn({9, 70}, at::kDouble) * 0.3).set_requires_grad(true);
  const at::Tensor cotangent = torch::randn({9, 70}, at::kDouble);
  const at::Tensor actual = torch::autograd::grad({apply(scores)}, {scores}, {cotangent})[0];
  const at::Tensor wanted = torch::autograd::grad({expected(scores)}, {scores}, {cotangent})[0];
  EXPECT_TRUE(tensors_close(actual, wanted, 1e-12));
}

TEST_P(SparsemaxTest, ExpandedGradient) {
  const at::Tensor scores = torch::randn({4, 6}).set_requires_grad(true);
  const at::Tensor grad = torch::tensor({{2.0F}}).expand({4, 6});
  const at::Tensor actual = torch::autograd::grad({apply(scores)}, {scores}, {grad})[0];
  // A constant gradient is orthogonal to the simplex.
  EXPECT_TRUE(tensors_close(actual, torch::zeros({4, 6}), 5e-7));
}

TEST_P(SparsemaxTest, InfiniteGradientOutsideTheSupportIsIgnored) {
  const at::Tensor scores = torch::tensor({{3.0F, 2.9F, -9.0F, -kInf}}).set_requires_grad(true);
  const at::Tensor grad = torch::tensor({{1.0F, 1.0F, kInf, kNan}});
  const at::Tensor actual = torch::autograd::grad({apply(scores)}, {scores}, {grad})[0];
  EXPECT_TRUE(tensors_close(actual, torch::zeros({1, 4}), 2e-7));
}

TEST_P(SparsemaxTest, NonContiguousInput) {
  const at::Tensor base = torch::randn({5, 18, 4});
  for (const at::Tensor& scores :
       {base.transpose(0, 1), base.slice(1, 1, 18, 3), base.select(2, 1), base.permute({2, 0, 1}),
        base.select(0, 2).unsqueeze(0).expand({3, 18, 4})}) {
    EXPECT_TRUE(tensors_equal(apply(scores), apply(scores.contiguous())));
  }
}

TEST_P(SparsemaxTest, EveryDim) {
  const at::Tensor scores = torch::randn({3, 21, 2, 19});
  for (int64_t dim = 0; dim < 4; ++dim) {
    const at::Tensor rows = apply(scores.movedim(dim, -1).contiguous());
    EXPECT_TRUE(tensors_equal(apply(scores, dim), rows.movedim(-1, dim)));
    const at::Tensor grad = torch::randn_like(scores);
    const at::Tensor product = GetParam().backward(grad, apply(scores, dim), dim);
    EXPECT_TRUE(
        tensors_equal(product, GetParam().backward(grad.movedim(dim, -1), rows, -1).movedim(-1, dim)));
  }
}

TEST_P(SparsemaxTest, NegativeDim) {
  const at::Tensor scores = torch::randn({3, 4, 5});
  EXPECT_TRUE(tensors_equal(apply(scores, -2), apply(scores, 1)));
  EXPECT_TRUE(tensors_equal(apply(scores, -3), apply(scores, 0)));
}

TEST_P(SparsemaxTest, EmptyInput) {
  EXPECT_EQ(apply(torch::zeros({0, 4})).sizes(), at::IntArrayRef({0, 4}));
  EXPECT_EQ(apply(torch::zeros({4, 0})).sizes(), at::IntArrayRef({4, 0}));
  const at::Tensor scores = torch::zeros({2, 0}).set_requires_grad(true);
  apply(scores).sum().backward();
  EXPECT_EQ(scores.grad().sizes(), at::IntArrayRef({2, 0}));
}

TEST_P(SparsemaxTest, OneElement) {
  EXPECT_TRUE(tensors_equal(apply(torch::tensor({-7.5F})), torch::tensor({1.0F})));
  EXPECT_TRUE(tensors_equal(apply(torch::randn({4, 1})), torch::ones({4, 1})));
}

TEST_P(SparsemaxTest, InfinityAndNan) {
  at::Tensor scores = torch::randn({5, 11});
  const at::Tensor clean = apply(scores);
  for (const int64_t column : {0, 4, 10}) {
    scores.index_put_({1, column}, kNan);
    scores.index_put_({3, column}, kInf);
    const at::Tensor weights = apply(scores);
    for (const int64_t row : {0, 2, 4}) EXPECT_TRUE(tensors_equal(weights[row], clean[row]));
    for (const int64_t row : {1, 3}) EXPECT_TRUE(weights[row].isnan().all().item<bool>());
    EXPECT_TRUE(tensors_equal(weights, expected(scores).where(weights.isnan(), weights)));
    const at::Tensor grad = GetParam().backward(torch::ones_like(weights), weights, -1);
    EXPECT_TRUE(tensors_equal(grad.isnan(), weights.isnan()));
    scores.index_put_({1, column}, 0.0F);
    scores.index_put_({3, column}, 0.0F);
  }
}

TEST_P(SparsemaxTest, NothingPermitted) {
  at::Tensor scores = torch::randn({3, 13});
  scores[1].fill_(-kInf);
  scores.set_requires_grad(true);
  const at::Tensor weights = apply(scores);
  EXPECT_TRUE(tensors_equal(weights[1], torch::zeros({13})));
  const at::Tensor grad = torch::autograd::grad({weights}, {scores}, {torch::randn({3, 13})}, true, true)[0];
  EXPECT_TRUE(tensors_equal(grad[1], torch::zeros({13})));
  const auto second =
      torch::autograd::grad({(grad * grad).sum()}, {scores}, {}, {}, false, /*allow_unused=*/true)[0];
  if (!second.defined()) return;  // sparsemax is piecewise linear
  EXPECT_TRUE(second.isfinite().all().item<bool>());
}

TEST_P(SparsemaxTest, Ties) {
  // The tied entries sit in different vectors and in the incomplete last one.
  for (const int64_t n : {3, 19, 67}) {
    at::Tensor scores = torch::randn({n}) - 3.0;
    for (const int64_t place : {int64_t{0}, n / 2, n - 1}) scores[place] = 1.7F;
    const at::Tensor weights = apply(scores);
    EXPECT_EQ(weights[0].item<float>(), weights[n / 2].item<float>());
    EXPECT_EQ(weights[0].item<float>(), weights[n - 1].item<float>());
  }
  for (const int64_t n : {2, 5, 130, 1500}) {
    EXPECT_TRUE(tensors_close(apply(torch::full({n}, 0.3F)), torch::full({n}, static_cast<float>(1.0 / n)),
                              1e-8, 2e-7));
  }
}

// Nearly every entry has a weight; those that have none, or hardly any, must not be taken along.
TEST_P(SparsemaxTest, FlatRowsWithAFewBelow) {
  for (const int64_t n : {600, 2049, 4096, 4100}) {
    for (const float below : {-kInf, -3.0F, -1.0F, -0.001F}) {
      at::Tensor scores = torch::randn({5, n}) * 1e-4;
      scores.index_put_({torch::arange(5), torch::tensor({int64_t{0}, int64_t{1}, n / 2, n - 2, n - 1})},
                        below);
      EXPECT_TRUE(tensors_close(apply(scores), expected(scores.to(at::kDouble)).to(at::kFloat), 2e-7))
          << n << " entries, one at " << below;
    }
  }
}

TEST_P(SparsemaxTest, EntryAtTheThresholdIsOutside) {
  // sparsemax: 1 - 0 = 1; entmax-1.5: (2 - 0) / 2 = 1.
  const double gap = std::string(GetParam().name) == "sparsemax" ? 1.0 : 2.0;
  const at::Tensor scores = torch::tensor({gap, 0.0, -4.0}, at::kDouble);
  EXPECT_TRUE(tensors_equal(apply(scores), torch::tensor({1.0, 0.0, 0.0}, at::kDouble)));
}

TEST_P(SparsemaxTest, HugeLogits) {
  for (const float huge : {1e8F, std::numeric_limits<float>::max()}) {
    const at::Tensor weights = apply(torch::tensor({huge, -huge, 0.0F, huge, -kInf, huge}));
    const float third = 1.0F / 3.0F;
    EXPECT_TRUE(tensors_close(weights, torch::tensor({third, 0.0F, 0.0F, third, 0.0F, third}), 6e-8));
  }
  const float tiny = std::numeric_limits<float>::denorm_min();
  EXPECT_TRUE(tensors_close(apply(torch::tensor({tiny, 0.0F, -tiny, tiny})), torch::full({4}, 0.25F), 6e-8));
}

TEST_P(SparsemaxTest, HalfPrecision) {
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    const at::Tensor scores = torch::randn({6, 33, 5}).to(dtype).set_requires_grad(true);
    for (const int64_t dim : {1, 2}) {
      const at::Tensor weights = apply(scores, dim);
      // Computed in fp32 and rounded once: exactly the fp32 result in 16 bits.
      EXPECT_TRUE(tensors_equal(weights, apply(scores.to(at::kFloat), dim).to(dtype)));
      const at::Tensor grad = torch::randn({6, 33, 5}).to(dtype);
      const at::Tensor product = torch::autograd::grad({weights}, {scores}, {grad})[0];
      EXPECT_TRUE(tensors_equal(
          product, GetParam().backward(grad.to(at::kFloat), weights.to(at::kFloat), dim).to(dtype)));
    }
  }
}

TEST_P(SparsemaxTest, AutocastComputesInSinglePrecision) {
  const at::Tensor scores = torch::randn({3, 8}).to(at::kBFloat16);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const at::Tensor weights = apply(scores);
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_TRUE(tensors_equal(weights, apply(scores.to(at::kFloat))));
}

template <class Error, class Function>
void expect_refusal(const Function& function, const std::vector<std::string>& parts) {
  try {
    function();
    FAIL() << "accepted";
  } catch (const Error& error) {
    const std::string text = error.what_without_backtrace();
    for (const std::string& part : parts)
      EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
}

TEST_P(SparsemaxTest, RejectsBadDim) {
  for (const int64_t dim : {2, -3}) {
    expect_refusal<c10::IndexError>(
        [&] {
          apply(torch::zeros({2, 3}), dim);
        },
        {GetParam().name, "[-2, 1]", std::to_string(dim)});
  }
  expect_refusal<c10::Error>([&] { apply(torch::zeros({})); }, {GetParam().name, "at least one dimension"});
}

TEST_P(SparsemaxTest, RejectsBadDtype) {
  expect_refusal<c10::Error>(
      [&] {
        apply(torch::zeros({2, 3}, at::kLong));
      },
      {GetParam().name, "floating", "Long"});
  for (const at::Device device : {at::kCPU, at::kMeta}) {
    expect_refusal<c10::Error>(
        [&] {
          apply(torch::zeros({2, 3}, at::TensorOptions(device).dtype(at::kFloat8_e4m3fn)));
        },
        {std::string(GetParam().name) + ": ", "floating", "Float8_e4m3fn"});
  }
  expect_refusal<c10::Error>(
      [&] {
        apply(torch::zeros({2, 3}, at::kComplexFloat));
      },
      {GetParam().name, "floating"});
}

TEST_P(SparsemaxTest, BackwardRejectsUnequalShapes) {
  expect_refusal<c10::Error>(
      [&] {
        GetParam().backward(torch::zeros({2, 3}), torch::zeros({2, 4}), -1);
      },
      {std::string(GetParam().name) + "_backward", "[2, 3]", "[2, 4]"});
}

TEST_P(SparsemaxTest, ThreadCountsGiveEqualBits) {
  const at::Tensor scores = torch::randn({500, 300});
  const int threads = at::get_num_threads();
  std::vector<at::Tensor> results;
  for (const int count : {1, 2}) {
    at::set_num_threads(count);
    for (const int64_t dim : {0, 1}) {
      const at::Tensor weights = apply(scores, dim);
      results.push_back(torch::cat({weights, GetParam().backward(scores, weights, dim)}));
    }
  }
  at::set_num_threads(threads);
  EXPECT_TRUE(tensors_equal(results[0], results[2]));
  EXPECT_TRUE(tensors_equal(results[1], results[3]));
}

TEST_P(SparsemaxTest, MetaShapes) {
  const at::Tensor scores = torch::randn({3, 4, 5}, at::kBFloat16).transpose(0, 2);
  const at::Tensor shape_only = apply(scores.to(at::kMeta), 1);
  const at::Tensor weights = apply(scores, 1);
  EXPECT_EQ(shape_only.sizes(), weights.sizes());
  EXPECT_EQ(shape_only.strides(), weights.strides());
  EXPECT_EQ(shape_only.scalar_type(), weights.scalar_type());
  const at::Tensor product = GetParam().backward(shape_only, shape_only, 1);
  EXPECT_EQ(product.sizes(), weights.sizes());
  EXPECT_THROW(apply(scores.to(at::kMeta), 3), c10::IndexError);
}

INSTANTIATE_TEST_SUITE_P(
    , SparsemaxTest,
    ::testing::Values(RowOperator{"sparsemax", sparsemax, sparsemax_backward, reference::sparsemax, "rows"},
                      RowOperator{"entmax15", entmax15, entmax15_backward, reference::entmax15, "entmax15"}),
    [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace giantrabbit::ops
