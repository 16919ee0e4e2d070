// Comparison of tensors for tests. Everything is compared on a contiguous CPU copy in double, or in int64 for
// integers beyond double's range.
#include "tests/support/tensor_matchers.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <torch/torch.h>

namespace giantrabbit::test_support {
namespace {

std::string position_text(int64_t flat, at::IntArrayRef sizes) {
  std::vector<int64_t> position(sizes.size());
  for (int64_t axis = static_cast<int64_t>(sizes.size()) - 1; axis >= 0; --axis) {
    position[axis] = flat % sizes[axis];
    flat /= sizes[axis];
  }
  return fmt::format("{}", position);
}

// "" if kind and shape agree.
std::string kind_difference(const at::Tensor& actual, const at::Tensor& expected) {
  if (!actual.defined() || !expected.defined()) return "an undefined tensor was compared";
  if (actual.scalar_type() != expected.scalar_type()) {
    return fmt::format("dtype {} instead of {}", c10::toString(actual.scalar_type()),
                       c10::toString(expected.scalar_type()));
  }
  if (actual.sizes() != expected.sizes()) {
    return fmt::format("shape {} instead of {}", actual.sizes().vec(), expected.sizes().vec());
  }
  return "";
}

// 0 for equal entries (also both NaN, or the same infinity), +inf if only one of them is NaN or infinite.
double entry_error(double actual, double expected) {
  if (actual == expected || (std::isnan(actual) && std::isnan(expected))) return 0.0;
  const double error = std::abs(actual - expected);
  return std::isfinite(actual) && std::isfinite(expected) ? error : INFINITY;
}

::testing::AssertionResult equal_integers(const at::Tensor& actual, const at::Tensor& expected) {
  const at::Tensor left = actual.detach().cpu().to(at::kLong).contiguous();
  const at::Tensor right = expected.detach().cpu().to(at::kLong).contiguous();
  for (int64_t i = 0; i < left.numel(); ++i) {
    const int64_t got = left.const_data_ptr<int64_t>()[i];
    const int64_t wanted = right.const_data_ptr<int64_t>()[i];
    if (got != wanted) {
      return ::testing::AssertionFailure()
             << fmt::format("at {}: {} instead of {}", position_text(i, left.sizes()), got, wanted);
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace

::testing::AssertionResult tensors_close(const at::Tensor& actual, const at::Tensor& expected,
                                         double absolute, double relative) {
  const std::string difference = kind_difference(actual, expected);
  if (!difference.empty()) return ::testing::AssertionFailure() << difference;
  if (!actual.is_floating_point()) return equal_integers(actual, expected);
  const at::Tensor left = actual.detach().cpu().to(at::kDouble).contiguous();
  const at::Tensor right = expected.detach().cpu().to(at::kDouble).contiguous();
  const double* got = left.const_data_ptr<double>();
  const double* wanted = right.const_data_ptr<double>();
  int64_t wrong = 0;
  int64_t worst = 0;
  double worst_excess = 0.0;
  for (int64_t i = 0; i < left.numel(); ++i) {
    const double error = entry_error(got[i], wanted[i]);
    if (error == 0.0) continue;
    const double excess = error - (absolute + relative * std::abs(wanted[i]));
    if (!(excess > 0.0)) continue;
    ++wrong;
    if (excess > worst_excess) {
      worst = i;
      worst_excess = excess;
    }
  }
  if (wrong == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << fmt::format(
             "{} of {} entries differ by more than {:g} + {:g} |expected|; worst at {}: {:.17g} instead of "
             "{:.17g}, "
             "error {:g}",
             wrong, left.numel(), absolute, relative, position_text(worst, left.sizes()), got[worst],
             wanted[worst], std::abs(got[worst] - wanted[worst]));
}

::testing::AssertionResult tensors_equal(const at::Tensor& actual, const at::Tensor& expected) {
  return tensors_close(actual, expected, 0.0);
}

}  // namespace giantrabbit::test_support
