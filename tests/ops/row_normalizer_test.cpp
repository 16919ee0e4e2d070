// The row functions under the CPU kernels, for every instruction set that this machine can run: they must
// agree with the definition and with one another, and the row contract must hold on each path. softmax rows
// are tested here too.
#include "ops/cpu/row_normalizer.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "ops/reference/sparsemax.h"
#include "tests/support/seeded.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops::cpu {
namespace {

using test_support::tensors_close;
using test_support::tensors_equal;

constexpr Normalizer kNormalizers[] = {Normalizer::softmax, Normalizer::sparsemax, Normalizer::entmax15};

class RowNormalizerTest : public test_support::Seeded<::testing::TestWithParam<Capability>> {
 protected:
  at::Tensor normalize(Normalizer normalizer, const at::Tensor& row, Store store = Store::cached,
                       int64_t shift = 0) const {
    at::Tensor weights = torch::full({row.numel() + shift}, 7.0, row.options()).slice(0, shift);
    const RowFunctions& functions = row_functions(GetParam());
    const auto index = static_cast<size_t>(normalizer);
    if (row.scalar_type() == at::kFloat) {
      functions.normalize_float[index](row.data_ptr<float>(), weights.data_ptr<float>(), row.numel(), store);
    } else {
      functions.normalize_double[index](row.data_ptr<double>(), weights.data_ptr<double>(), row.numel(),
                                        store);
    }
    return weights;
  }

  at::Tensor backward(Normalizer normalizer, const at::Tensor& weights, const at::Tensor& grad) const {
    at::Tensor result = torch::full_like(grad, 7.0);
    const RowFunctions& functions = row_functions(GetParam());
    const auto index = static_cast<size_t>(normalizer);
    if (weights.scalar_type() == at::kFloat) {
      functions.backward_float[index](weights.data_ptr<float>(), grad.data_ptr<float>(),
                                      result.data_ptr<float>(), weights.numel());
    } else {
      functions.backward_double[index](weights.data_ptr<double>(), grad.data_ptr<double>(),
                                       result.data_ptr<double>(), weights.numel());
    }
    return result;
  }
};

at::Tensor expected_weights(Normalizer normalizer, const at::Tensor& row) {
  const at::Tensor wide = row.to(at::kDouble);
  if (normalizer == Normalizer::softmax) return wide.softmax(-1);
  return normalizer == Normalizer::sparsemax ? reference::sparsemax(wide) : reference::entmax15(wide);
}

at::Tensor expected_gradient(Normalizer normalizer, const at::Tensor& weights, const at::Tensor& grad) {
  const at::Tensor p = weights.to(at::kDouble);
  const at::Tensor g = grad.to(at::kDouble);
  if (normalizer == Normalizer::softmax) return p * (g - (p * g).sum());
  const at::Tensor s = normalizer == Normalizer::sparsemax ? p.ne(0).to(at::kDouble) : p.sqrt();
  return s * (g - (s * g).sum() / s.sum());
}

// Lengths around the vector widths, and long enough for the paths of too many candidates and of wide rows.
const std::vector<int64_t> kLengths = {1,  2,  3,  4,  5,   7,   8,   9,    15,   16,   17,
                                       31, 33, 63, 65, 100, 129, 500, 1023, 2600, 40000};

TEST_P(RowNormalizerTest, EveryInstructionSetAgrees) {
  for (const int64_t n : kLengths) {
    for (const double spread : {0.0, 1e-3, 0.1, 1.0, 5.0}) {
      for (const Normalizer normalizer : kNormalizers) {
        SCOPED_TRACE(std::string(normalizer_name(normalizer)) + ", " + std::to_string(n) + " entries");
        const at::Tensor row = torch::randn({n}, at::kDouble) * spread;
        const at::Tensor single = row.to(at::kFloat);
        const at::Tensor weights = normalize(normalizer, row);
        const at::Tensor single_weights = normalize(normalizer, single);
        EXPECT_TRUE(tensors_close(weights, expected_weights(normalizer, row), 1e-14));
        EXPECT_TRUE(tensors_close(single_weights, expected_weights(normalizer, single).to(at::kFloat), 2e-7,
                                  normalizer == Normalizer::softmax ? 4e-6 : 0.0));
        const at::Tensor grad = torch::randn({n}, at::kDouble);
        EXPECT_TRUE(tensors_close(backward(normalizer, weights, grad),
                                  expected_gradient(normalizer, weights, grad), 1e-13));
        EXPECT_TRUE(tensors_close(
            backward(normalizer, single_weights, grad.to(at::kFloat)),
            expected_gradient(normalizer, single_weights, grad.to(at::kFloat)).to(at::kFloat), 1e-6));
      }
    }
  }
}

TEST_P(RowNormalizerTest, ContractHoldsInEveryPosition) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    for (const int64_t n : {1, 6, 16, 37, 70}) {
      for (const Normalizer normalizer : kNormalizers) {
        SCOPED_TRACE(std::string(normalizer_name(normalizer)) + ", " + std::to_string(n) + " entries");
        const at::Tensor nothing = torch::full({n}, -infinity, dtype);
        EXPECT_TRUE(tensors_equal(normalize(normalizer, nothing), torch::zeros({n}, dtype)));
        EXPECT_TRUE(tensors_equal(backward(normalizer, torch::zeros({n}, dtype), torch::randn({n}, dtype)),
                                  torch::zeros({n}, dtype)));
        for (int64_t place = 0; place < n; ++place) {
          at::Tensor row = torch::randn({n}, dtype);
          row[place] = std::numeric_limits<double>::quiet_NaN();
          EXPECT_TRUE(normalize(normalizer, row).isnan().all().item<bool>()) << "NaN at " << place;
          row[place] = infinity;
          EXPECT_TRUE(normalize(normalizer, row).isnan().all().item<bool>()) << "infinity at " << place;
          at::Tensor alone = nothing.clone();
          alone[place] = -3.0;
          EXPECT_TRUE(tensors_equal(normalize(normalizer, alone), alone.isfinite().to(dtype))) << place;
        }
      }
    }
  }
}

TEST_P(RowNormalizerTest, ContractHoldsInWideRows) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    for (const int64_t n : {3001, 40000}) {
      for (const Normalizer normalizer : kNormalizers) {
        SCOPED_TRACE(std::string(normalizer_name(normalizer)) + ", " + std::to_string(n) + " entries");
        const at::Tensor nothing = torch::full({n}, -infinity, dtype);
        EXPECT_TRUE(tensors_equal(normalize(normalizer, nothing), torch::zeros({n}, dtype)));
        for (const int64_t place : {int64_t{0}, n / 3, n - 1}) {
          at::Tensor row = torch::randn({n}, dtype);
          row[place] = std::numeric_limits<double>::quiet_NaN();
          EXPECT_TRUE(normalize(normalizer, row).isnan().all().item<bool>()) << "NaN at " << place;
          row[place] = infinity;
          EXPECT_TRUE(normalize(normalizer, row).isnan().all().item<bool>()) << "infinity at " << place;
          at::Tensor masked = torch::randn({n}, dtype);
          masked.slice(0, 0, n, 3).fill_(-infinity);
          masked[place] = 2.0;
          const at::Tensor weights = normalize(normalizer, masked);
          EXPECT_TRUE(tensors_close(weights, expected_weights(normalizer, masked).to(dtype), 2e-7)) << place;
          EXPECT_TRUE(weights.masked_select(masked.isinf()).eq(0).all().item<bool>()) << place;
        }
      }
    }
  }
}

// Rows of 16 share vectors; others do not. The rows of a call are handled in any order and number, so a row
// alone must have the same bits.
TEST_P(RowNormalizerTest, RowsTogetherAreRowsAlone) {
  constexpr int64_t kCount = 37;
  constexpr int64_t kStride = 100;
  const double infinity = std::numeric_limits<double>::infinity();
  for (const int64_t n : {15, 16, 17, 48}) {
    for (const double spread : {0.0, 1e-3, 0.1, 1.0, 5.0, 1e20}) {
      for (size_t index = 1; index < 3; ++index) {
        const auto normalizer = static_cast<Normalizer>(index);
        SCOPED_TRACE(std::string(normalizer_name(normalizer)) + ", " + std::to_string(n) +
                     " entries, spread " + std::to_string(spread));
        at::Tensor scores = torch::randn({kCount, kStride}) * spread;
        scores.slice(0, 0, 20).masked_fill_(torch::rand({20, kStride}).lt(0.5), -infinity);
        scores.slice(0, 10, 30).mul_(2).round_().div_(2);  // ties, and entries exactly at the threshold
        scores[3].fill_(-infinity);
        scores[4][n - 1] = std::numeric_limits<double>::quiet_NaN();
        scores[20][0] = infinity;
        const auto function = row_functions(GetParam()).normalize_rows_float[index];
        at::Tensor together = torch::full_like(scores, 7.0);
        function(scores.data_ptr<float>(), together.data_ptr<float>(), {kCount, n, kStride});
        EXPECT_TRUE(together.slice(1, n).eq(7.0).all().item<bool>());
        for (int64_t i = 0; i < kCount; ++i) {
          at::Tensor row = scores[i].clone();
          function(row.data_ptr<float>(), row.data_ptr<float>(), {1, n, kStride});
          EXPECT_TRUE(tensors_equal(row.slice(0, 0, n), together[i].slice(0, 0, n))) << "row " << i;
          const at::Tensor expected = expected_weights(normalizer, scores[i].slice(0, 0, n)).to(at::kFloat);
          // Weights up to 1 are squares of differences that err by a few 2^-24.
          EXPECT_TRUE(tensors_close(row.slice(0, 0, n), expected, 4e-7)) << "row " << i;
        }
      }
    }
  }
}

TEST_P(RowNormalizerTest, ResultMayBeTheInput) {
  for (const int64_t n : {5, 16, 90, 3000}) {
    for (size_t index = 0; index < 3; ++index) {
      const auto normalizer = static_cast<Normalizer>(index);
      const at::Tensor row = torch::randn({n});
      const at::Tensor weights = normalize(normalizer, row);
      const at::Tensor grad = torch::randn({n});
      const at::Tensor expected = backward(normalizer, weights, grad);
      float* scores = row.data_ptr<float>();
      row_functions(GetParam()).normalize_float[index](scores, scores, n, Store::cached);
      EXPECT_TRUE(tensors_equal(row, weights));
      float* grads = grad.data_ptr<float>();
      row_functions(GetParam()).backward_float[index](weights.data_ptr<float>(), grads, grads, n);
      EXPECT_TRUE(tensors_equal(grad, expected));
    }
  }
}

TEST_P(RowNormalizerTest, StoresPastTheCachesChangeNothing) {
  for (const int64_t n : {40, 2048, 4099, 40000}) {
    for (const double spread : {0.0, 0.001, 1.0}) {
      for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
        const at::Tensor row = torch::randn({n}, dtype) * spread;
        for (const Normalizer normalizer : kNormalizers) {
          for (const int64_t shift : {0, 1}) {  // the second is not aligned
            EXPECT_TRUE(
                tensors_equal(normalize(normalizer, row, Store::streamed, shift), normalize(normalizer, row)))
                << "n " << n << ", spread " << spread;
          }
        }
      }
    }
  }
}

TEST_P(RowNormalizerTest, SoftmaxExponentialIsWithinItsBound) {
  // Against a row whose first entry is 0 and dominates nothing else, the quotient of two weights is the
  // exponential.
  const at::Tensor exponents = torch::linspace(-87.0, 0.0, 20001, at::kDouble).to(at::kFloat);
  for (int64_t begin = 0; begin < 20000; begin += 16) {
    const at::Tensor row = torch::cat({torch::zeros({1}), exponents.slice(0, begin, begin + 16)});
    const at::Tensor weights = normalize(Normalizer::softmax, row).to(at::kDouble);
    const at::Tensor actual = (weights / weights[0]).slice(0, 1);
    const at::Tensor exact = row.to(at::kDouble).exp().slice(0, 1);
    // 2e-7 for the exponential, 6e-8 each for the two products with 1 / sum.
    ASSERT_TRUE(tensors_close(actual, exact, 2e-45, 3.2e-7)) << "from exponent " << row[1].item<float>();
  }
  const at::Tensor far = normalize(Normalizer::softmax, torch::tensor({0.0F, -88.0F, -1e4F, -3e38F}));
  EXPECT_TRUE(tensors_equal(far, torch::tensor({1.0F, 0.0F, 0.0F, 0.0F})));
}

TEST_P(RowNormalizerTest, AnEmptyRowIsLeftAlone) {
  float untouched = 7.0F;
  for (size_t index = 0; index < 3; ++index) {
    row_functions(GetParam()).normalize_float[index](&untouched, &untouched, 0, Store::cached);
    row_functions(GetParam()).backward_float[index](&untouched, &untouched, &untouched, 0);
  }
  EXPECT_EQ(untouched, 7.0F);
}

TEST(CapabilityTest, TheChosenOneIsOneThatTheMachineHas) {
  const auto available = machine_capabilities();
  EXPECT_EQ(available.front(), Capability::baseline);
  EXPECT_NE(std::find(available.begin(), available.end(), chosen_capability()), available.end());
}

INSTANTIATE_TEST_SUITE_P(, RowNormalizerTest, ::testing::ValuesIn(machine_capabilities()),
                         [](const auto& instance) { return std::string(capability_name(instance.param)); });

}  // namespace
}  // namespace giantrabbit::ops::cpu
