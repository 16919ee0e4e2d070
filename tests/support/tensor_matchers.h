// Strict comparison of tensors: dtype, shape, NaN and infinity positions must agree, then every entry. No
// allowance for a share of wrong entries. The message names the worst entry. Use:
// EXPECT_TRUE(tensors_close(actual, expected, 1e-6)).
#pragma once

#include <gtest/gtest.h>

#include <ATen/core/Tensor.h>

namespace giantrabbit::test_support {

// |actual - expected| <= absolute + relative * |expected| for every entry; the difference is taken in double.
::testing::AssertionResult tensors_close(const at::Tensor& actual, const at::Tensor& expected,
                                         double absolute, double relative = 0.0);

// The same bits, except that any NaN equals any NaN and 0 equals -0.
::testing::AssertionResult tensors_equal(const at::Tensor& actual, const at::Tensor& expected);

}  // namespace giantrabbit::test_support
