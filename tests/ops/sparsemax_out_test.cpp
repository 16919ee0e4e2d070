// The out= overloads of sparsemax and entmax-1.5 and of their backward operators: the bits of the allocating
// ones, in whatever memory they are given, and refusals as LibTorch has them.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "ops/sparsemax.h"
#include "tests/support/seeded.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test_support::tensors_equal;

struct OutOperator {
  const char* name;
  at::Tensor (*op)(const at::Tensor&, int64_t);
  at::Tensor (*backward)(const at::Tensor&, const at::Tensor&, int64_t);
  at::Tensor& (*out)(at::Tensor&, const at::Tensor&, int64_t);
  at::Tensor& (*backward_out)(at::Tensor&, const at::Tensor&, const at::Tensor&, int64_t);
};

class SparsemaxOutTest : public test_support::Seeded<::testing::TestWithParam<OutOperator>> {};

template <class Function>
void expect_out_refusal(const Function& function, const std::vector<std::string>& parts) {
  try {
    function();
    FAIL() << "accepted";
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    for (const std::string& part : parts)
      EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
}

TEST_P(SparsemaxOutTest, OutGetsTheSameBits) {
  for (const auto dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const at::Tensor scores = torch::randn({4, 33, 6}).to(dtype);
    const at::Tensor grad = torch::randn({4, 33, 6}).to(dtype);
    for (const int64_t dim : {0, 1, -1}) {
      const at::Tensor weights = GetParam().op(scores, dim);
      const at::Tensor product = GetParam().backward(grad, weights, dim);
      at::Tensor plain = torch::full_like(scores, 7.0);
      at::Tensor strided = torch::full({6, 33, 4}, 7.0, dtype).transpose(0, 2);
      at::Tensor empty = torch::empty({0}, dtype);
      for (at::Tensor* out : {&plain, &strided, &empty}) {
        EXPECT_EQ(&GetParam().out(*out, scores, dim), out);
        EXPECT_TRUE(tensors_equal(*out, weights));
        GetParam().backward_out(*out, grad, weights, dim);
        EXPECT_TRUE(tensors_equal(*out, product));
      }
      EXPECT_TRUE(strided.transpose(0, 2).is_contiguous());  // written where it was
      at::Tensor rows = scores.clone();
      GetParam().out(rows, rows, dim);
      EXPECT_TRUE(tensors_equal(rows, weights));
      rows = grad.clone();
      GetParam().backward_out(rows, rows, weights, dim);
      EXPECT_TRUE(tensors_equal(rows, product));
    }
  }
}

TEST_P(SparsemaxOutTest, OutIsResizedAndCountsAsWritten) {
  at::Tensor out = torch::empty({0});
  const auto version = out._version();
  GetParam().out(out, torch::randn({3, 5}), -1);
  EXPECT_EQ(out.sizes(), at::IntArrayRef({3, 5}));
  EXPECT_GT(out._version(), version);
  at::Tensor shape_only = torch::empty({0}, at::kMeta);
  GetParam().out(shape_only, torch::empty({3, 5}, at::kMeta), -1);
  EXPECT_EQ(shape_only.sizes(), at::IntArrayRef({3, 5}));
  at::Tensor nothing = torch::empty({2, 0});
  GetParam().out(nothing, torch::zeros({2, 0}), -1);
}

TEST_P(SparsemaxOutTest, OutRejectsWhatItCannotWrite) {
  const at::Tensor scores = torch::randn({4, 6});
  const auto into = [&](at::Tensor out, const at::Tensor& rows) { GetParam().out(out, rows, -1); };
  expect_out_refusal(
      [&] {
        into(torch::empty({4, 6}, at::kDouble), scores);
      },
      {GetParam().name, "dtype", "Float", "Double"});
  expect_out_refusal(
      [&] {
        into(torch::empty({4, 6}, at::kMeta), scores);
      },
      {GetParam().name, "device", "cpu", "meta"});
  const at::Tensor memory = torch::randn({30});
  expect_out_refusal(
      [&] {
        into(memory.slice(0, 0, 24).view({4, 6}), memory.slice(0, 6, 30).view({4, 6}));
      },
      {"memory"});
  expect_out_refusal([&] { into(torch::empty({1, 6}).expand({4, 6}), scores); }, {"memory"});
}

TEST_P(SparsemaxOutTest, OutIsNotDifferentiable) {
  const at::Tensor scores = torch::randn({2, 3}).set_requires_grad(true);
  at::Tensor out = torch::empty({2, 3});
  expect_out_refusal([&] { GetParam().out(out, scores, -1); }, {GetParam().name, "out="});
  expect_out_refusal([&] { GetParam().backward_out(out, scores, scores, -1); },
                     {std::string(GetParam().name) + "_backward", "out="});
  at::NoGradGuard no_grad;
  GetParam().out(out, scores, -1);
  EXPECT_TRUE(tensors_equal(out, GetParam().op(scores, -1)));
}

INSTANTIATE_TEST_SUITE_P(, SparsemaxOutTest,
                         ::testing::Values(OutOperator{"sparsemax", sparsemax, sparsemax_backward,
                                                       sparsemax_out, sparsemax_backward_out},
                                           OutOperator{"entmax15", entmax15, entmax15_backward, entmax15_out,
                                                       entmax15_backward_out}),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace giantrabbit::ops
