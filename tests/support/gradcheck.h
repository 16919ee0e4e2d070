// Gradients against central differences in double. A function of several tensors with one tensor as result is
// checked for contiguous, strided and expanded incoming gradients. Keep inputs away from kinks: a difference
// quotient across a change of support says nothing.
#pragma once

#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include <ATen/core/Tensor.h>

namespace giantrabbit::test_support {

using TensorFunction = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

struct GradcheckOptions {
  // Central differences err by O(step^2) from truncation and O(1e-16 / step) from rounding: 1e-5 balances
  // them.
  double step = 1e-5;
  double tolerance = 1e-7;  // absolute and relative
};

// Inputs that require a gradient must be double; the others are passed through.
::testing::AssertionResult gradcheck(const TensorFunction& function, const std::vector<at::Tensor>& inputs,
                                     const GradcheckOptions& options = {});

// First derivatives of the first derivatives, with respect to the inputs and to the incoming gradient.
::testing::AssertionResult gradgradcheck(const TensorFunction& function,
                                         const std::vector<at::Tensor>& inputs,
                                         const GradcheckOptions& options = {});

}  // namespace giantrabbit::test_support
