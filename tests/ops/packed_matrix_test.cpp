// Products of packed matrices against plain ones in double: every weight type, shapes around the panels and
// tiles, every way to finish, threads, hostile numbers. CTest runs them once per instruction set.
#include "ops/packed_matrix.h"

#include <gtest/gtest.h>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include "tests/support/seeded.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using cpu::Finish;
using test_support::tensors_close;
using test_support::tensors_equal;

class PackedMatrixTest : public test_support::Seeded<::testing::Test> {};

constexpr WeightType kTypes[] = {WeightType::float32, WeightType::bfloat16, WeightType::int8};

at::Tensor multiply(const PackedMatrix& matrix, const at::Tensor& input, Finish finish = Finish::none,
                    const at::Tensor& before = {}) {
  at::Tensor output = before.defined() ? before.clone() : at::full({input.size(0), matrix.outputs()}, 7.0);
  matrix.multiply({input.size(0), input.const_data_ptr<float>(), input.stride(0),
                   output.mutable_data_ptr<float>(), output.stride(0)},
                  finish);
  return output;
}

// What the weights are after rounding to their type, in double.
at::Tensor rounded(const at::Tensor& weight, WeightType type) {
  if (type == WeightType::float32) return weight.to(at::kDouble);
  if (type == WeightType::bfloat16) return weight.to(at::kBFloat16).to(at::kDouble);
  const at::Tensor scale = (weight.abs().amax(1, true) / 127).to(at::kDouble);
  return (weight.to(at::kDouble) / scale).round().nan_to_num(0) * scale;
}

// Inputs of int8 products have 15 bits and a sign, and half a step of error each.
double tolerance(const at::Tensor& weight, const at::Tensor& input, WeightType type) {
  const double depth = static_cast<double>(weight.size(1));
  if (depth == 0 || input.size(0) == 0 || weight.size(0) == 0) return 0;
  const double largest = (weight.abs().max() * input.abs().max()).item<double>();
  return largest * depth * (type == WeightType::int8 ? 0.6 / (127 * 128) + 1e-6 : 3e-7);
}

TEST_F(PackedMatrixTest, EqualsThePlainProductInEveryShape) {
  for (const WeightType type : kTypes) {
    for (const int64_t outputs : {1, 15, 16, 63, 64, 65, 180, 384}) {
      for (const int64_t depth : {1, 3, 4, 33, 128, 512}) {
        const at::Tensor weight = at::randn({outputs, depth});
        const PackedMatrix matrix(weight, type);
        for (const int64_t rows : {0, 1, 2, 3, 4, 5, 6, 7, 13}) {
          SCOPED_TRACE(std::string(weight_type_name(type)) + " [" + std::to_string(outputs) + ", " +
                       std::to_string(depth) + "] rows " + std::to_string(rows));
          const at::Tensor input = at::randn({rows, depth});
          const at::Tensor expected = input.to(at::kDouble).matmul(rounded(weight, type).t());
          const at::Tensor result = multiply(matrix, input);
          ASSERT_TRUE(tensors_close(result.to(at::kDouble), expected, tolerance(weight, input, type)));
          for (int64_t row = 0; row < rows; ++row) {
            ASSERT_TRUE(tensors_equal(multiply(matrix, input.narrow(0, row, 1)), result.narrow(0, row, 1)));
          }
        }
      }
    }
  }
}

TEST_F(PackedMatrixTest, FinishesAndLeavesWhatIsNotItsOwn) {
  for (const WeightType type : kTypes) {
    const PackedMatrix matrix(at::randn({70, 20}), type);
    const at::Tensor input = at::randn({5, 24}).narrow(1, 0, 20);  // rows 24 numbers apart
    const at::Tensor plain = multiply(matrix, input);
    const at::Tensor before = at::randn({5, 70});
    EXPECT_TRUE(tensors_close(multiply(matrix, input, Finish::add_to_output, before), before + plain, 1e-5));
    EXPECT_TRUE(tensors_equal(multiply(matrix, input, Finish::squared_relu), plain.relu().square()));
    const at::Tensor wide = at::full({5, 80}, 7.0);
    EXPECT_TRUE(tensors_equal(multiply(matrix, input, Finish::none, wide).narrow(1, 0, 70), plain));
    EXPECT_TRUE(
        tensors_equal(multiply(matrix, input, Finish::none, wide).narrow(1, 70, 10), at::full({5, 10}, 7.0)));
  }
}

TEST_F(PackedMatrixTest, ThreadsDoNotChangeBits) {
  for (const WeightType type : kTypes) {
    const PackedMatrix matrix(at::randn({512, 512}), type);
    const at::Tensor input = at::randn({64, 512});
    const at::Tensor one = multiply(matrix, input);
    at::set_num_threads(2);
    const at::Tensor two = multiply(matrix, input);
    at::set_num_threads(1);
    EXPECT_TRUE(tensors_equal(one, two));
  }
}

TEST_F(PackedMatrixTest, InputsThatAreNotFiniteSpoilTheirRowOnly) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const WeightType type : kTypes) {
    const PackedMatrix matrix(at::randn({40, 12}), type);
    at::Tensor input = at::randn({4, 12});
    const at::Tensor clean = multiply(matrix, input);
    input[1][3] = std::numeric_limits<float>::quiet_NaN();
    input[2][0] = infinity;
    const at::Tensor result = multiply(matrix, input);
    EXPECT_TRUE(tensors_equal(result[0], clean[0]));
    EXPECT_TRUE(tensors_equal(result[3], clean[3]));
    EXPECT_TRUE(result[1].isnan().all().item<bool>());
    EXPECT_FALSE(result[2].isfinite().any().item<bool>());
  }
}

TEST_F(PackedMatrixTest, ZerosAndExtremesInEightBits) {
  at::Tensor weight = at::zeros({3, 8});
  weight[1].fill_(1e-38);
  weight[2][5] = -3;
  const PackedMatrix matrix(weight, WeightType::int8);
  EXPECT_TRUE(tensors_equal(multiply(matrix, at::zeros({1, 8})), at::zeros({1, 3})));
  const at::Tensor result = multiply(matrix, at::full({1, 8}, 2.0));
  EXPECT_TRUE(tensors_close(result, at::tensor({0.0F, 1.6e-37F, -6.0F}).unsqueeze(0), 1e-5));
}

TEST_F(PackedMatrixTest, RefusesWhatItCannotPack) {
  EXPECT_THROW(PackedMatrix(at::zeros({3}), WeightType::float32), c10::Error);
  EXPECT_THROW(PackedMatrix(at::zeros({3, 3}, at::kLong), WeightType::float32), c10::Error);
  EXPECT_THROW(PackedMatrix(at::full({3, 3}, std::nan("")), WeightType::int8), c10::Error);
  EXPECT_THROW(PackedMatrix(at::zeros({1, (1 << 16) + 1}), WeightType::int8), c10::Error);
  EXPECT_THROW(parse_weight_type("int4"), c10::Error);
  for (const WeightType type : kTypes) EXPECT_EQ(parse_weight_type(weight_type_name(type)), type);
}

}  // namespace
}  // namespace giantrabbit::ops
