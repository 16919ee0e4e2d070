// What attention keeps and needs at 16,384 x 16,384: the process's peak of resident memory during forward and
// backward, less what it held before, against one fp32 matrix of queries x keys. Nothing to measure with the
// address sanitizer, which keeps freed memory.
#if !defined(__SANITIZE_ADDRESS__)
#include <string>

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "ops/sparse_mask_attention.h"
#include "tests/support/resident_memory.h"

namespace giantrabbit::ops {
namespace {

constexpr int64_t kLength = 16384;
constexpr int64_t kMatrixBytes = kLength * kLength * 4;

// -1 where the system does not tell.
int64_t peak_of_training_step(int64_t heads, int64_t width, double factor, Normalizer normalizer) {
  torch::manual_seed(11);
  const auto input = [&](double size) {
    return torch::randn({1, heads, kLength, width}).mul_(size).requires_grad_();
  };
  const at::Tensor query = input(factor);
  const at::Tensor key = input(1.0);
  const at::Tensor value = input(1.0);
  const at::Tensor grad = torch::randn({1, heads, kLength, width});
  return test_support::resident_peak_of([&] {
    const at::Tensor output = sparse_mask_attention(query, key, value, {}, normalizer);
    output.backward(grad);
  });
}

// The result and three gradients are 67 MB; codes 4 MB, five keys a row with weight and index 3 MB and the
// same again while they are joined, transposed and differentiated: below a tenth of one matrix (107 MB).
TEST(SparseAttentionMemoryTest, ExactPathKeepsSupportsOnly) {
  const int64_t peak = peak_of_training_step(4, 64, 1.0, Normalizer::sparsemax);
  ASSERT_GE(peak, 0) << "this system does not reset the peak of resident memory";
  RecordProperty("bytes", std::to_string(peak));
  EXPECT_GT(peak, int64_t{4} * 4 * kLength * 64 * 4) << "the result and the gradients at least";
  EXPECT_LT(peak, kMatrixBytes / 10);
}

// Packed operands and sums, a block of 12 queries x all keys: no matrix either.
TEST(SparseAttentionMemoryTest, DensePathKeepsBlocksOnly) {
  for (const auto& [normalizer, factor] :
       std::vector<std::pair<Normalizer, double>>{{Normalizer::softmax, 1.0}, {Normalizer::sparsemax, 0.0}}) {
    const int64_t peak = peak_of_training_step(1, 16, factor, normalizer);
    ASSERT_GE(peak, 0) << "this system does not reset the peak of resident memory";
    RecordProperty(std::string(normalizer_name(normalizer)), std::to_string(peak));
    EXPECT_GT(peak, int64_t{4} * kLength * 16 * 4);
    EXPECT_LT(peak, kMatrixBytes / 10);
  }
}

}  // namespace
}  // namespace giantrabbit::ops

#endif
