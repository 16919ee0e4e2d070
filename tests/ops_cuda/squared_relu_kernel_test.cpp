// squared_relu and its gradient under the emulator, bit for bit against the same arithmetic on the host.
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "ops/cuda/kernels.h"
#include "tests/cuda_emulator/launching.h"
#include "tests/ops_cuda/row_cases.h"

namespace giantrabbit::ops::cuda {
namespace {

using cuda_emulator::DeviceBuffer;
using cuda_emulator::under_every_schedule;

template <class Stored>
class SquaredReluCudaTest : public ::testing::Test {};

TYPED_TEST_SUITE(SquaredReluCudaTest, StorageTypes);

TYPED_TEST(SquaredReluCudaTest, MatchesTheDefinition) {
  using M = std::conditional_t<std::is_same_v<TypeParam, double>, double, float>;
  std::mt19937_64 random(kRowSeed);
  std::normal_distribution<double> normal;
  for (const int count : {0, 1, 31, 255, 256, 257, 1023, 1024, 1025, 3001}) {
    std::vector<TypeParam> x;
    std::vector<TypeParam> grad;
    for (int i = 0; i < count; ++i) {
      x.push_back(stored<TypeParam>(i % 50 == 7 ? NAN : i % 50 == 8 ? -0.0 : normal(random)));
      grad.push_back(stored<TypeParam>(normal(random)));
    }
    const DeviceBuffer<TypeParam> x_in(x);
    const DeviceBuffer<TypeParam> grad_in(grad);
    under_every_schedule([&] {
      const DeviceBuffer<TypeParam> y(x.size());
      const DeviceBuffer<TypeParam> grad_x(x.size());
      ASSERT_EQ(launch_squared_relu(kDtype<TypeParam>, count, x_in.get(), y.get(), nullptr), cudaSuccess);
      ASSERT_EQ(launch_squared_relu_backward(kDtype<TypeParam>, count, grad_in.get(), x_in.get(),
                                             grad_x.get(), nullptr),
                cudaSuccess);
      const std::vector<TypeParam> y_out = y.values();
      const std::vector<TypeParam> grad_out = grad_x.values();
      Row actual;
      Row wanted;
      for (size_t i = 0; i < x.size(); ++i) {
        const auto value = static_cast<M>(read(x[i]));
        const M kept = value < M(0) ? M(0) : value;
        actual.push_back(read(y_out[i]));
        wanted.push_back(read(stored<TypeParam>(kept * kept)));
        actual.push_back(read(grad_out[i]));
        wanted.push_back(read(stored<TypeParam>(M(2) * kept * static_cast<M>(read(grad[i])))));
      }
      EXPECT_TRUE(close(actual, wanted, 0.0, 0.0));
    });
  }
}

}  // namespace
}  // namespace giantrabbit::ops::cuda
