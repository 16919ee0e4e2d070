// Gradients of sparse_mask_attention: central differences in double at points away from support changes, the
// reference's gradients in fp32 and bf16, and the contract (only what is needed, once, same bits, no M x N
// memory).
#include <gtest/gtest.h>

#include <c10/core/CPUAllocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/torch.h>

#include "ops/attention_call.h"
#include "ops/reference/sparse_mask_attention.h"
#include "tests/ops/attention_cases.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using test::every_mask;
using test::every_normalizer;
using test::Inputs;
using test::random_inputs;
using test::Sizes;
using test_support::tensors_close;
using test_support::tensors_equal;

struct Gradients {
  at::Tensor output;
  std::vector<at::Tensor> inputs;
};

// Fresh leaves, so that tests do not share graphs.
template <class Attention>
Gradients gradients_of(const Inputs& in, const at::Tensor& grad, const Attention& attention) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : {in.query, in.key, in.value})
    leaves.push_back(input.detach().requires_grad_());
  const at::Tensor output = attention(leaves[0], leaves[1], leaves[2]);
  return {output.detach(), torch::autograd::grad({output}, leaves, {grad.to(output.scalar_type())})};
}

Gradients ours(const Inputs& in, const SparseMask& mask, Normalizer normalizer, const at::Tensor& grad) {
  return gradients_of(in, grad, [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    return sparse_mask_attention(q, k, v, mask, normalizer);
  });
}

Gradients expected_for(const Inputs& in, const SparseMask& mask, Normalizer normalizer,
                       const at::Tensor& grad) {
  return gradients_of(in.to(at::kDouble), grad,
                      [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
                        return reference::sparse_mask_attention(q, k, v, mask, normalizer);
                      });
}

at::Tensor random_grad(const Sizes& sizes) {
  torch::manual_seed(test::kSeed + 3);
  return torch::randn({sizes.batch, sizes.heads, sizes.queries, sizes.value_width}, torch::kDouble);
}

TEST(SparseMaskAttentionGradientTest, Gradcheck) {
  const Sizes sizes{2, 2, 1, 4, 5, 3, 2};
  for (const auto& [name, mask] : every_mask(sizes)) {
    for (const Normalizer normalizer : every_normalizer()) {
      SCOPED_TRACE(name + " " + std::string(normalizer_name(normalizer)) + ", seed " +
                   std::to_string(test::kSeed));
      const Inputs in = random_inputs(sizes);
      const auto attend = [&, &rules = mask](const std::vector<at::Tensor>& x) {
        return sparse_mask_attention(x[0], x[1], x[2], rules, normalizer, 0.4);
      };
      EXPECT_TRUE(test_support::gradcheck(
          attend, {in.query.requires_grad_(), in.key.requires_grad_(), in.value.requires_grad_()}));
    }
  }
}

// Rounding of the scores moves a gradient by their error times the gradient's size, and sums run over 130
// rows: 1e-3 absolute covers fp32 with margin, and fails on any wrong term. Away from thresholds: double
// inputs decide.
TEST(SparseMaskAttentionGradientTest, MatchesReference) {
  for (const auto& [queries, keys] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {31, 33}, {80, 80}, {130, 16}}) {
    const Sizes sizes{2, 4, 2, queries, keys, 13, 10};
    const at::Tensor grad = random_grad(sizes);
    for (const auto dtype : {at::kDouble, at::kFloat}) {
      const Inputs in = random_inputs(sizes, dtype);
      for (const auto& [name, mask] : every_mask(sizes)) {
        for (const Normalizer normalizer : every_normalizer()) {
          SCOPED_TRACE(name + " " + std::string(normalizer_name(normalizer)) + " " + std::to_string(queries));
          const Gradients actual = ours(in, mask, normalizer, grad);
          const Gradients expected = expected_for(in, mask, normalizer, grad);
          for (size_t i = 0; i < 3; ++i) {
            EXPECT_TRUE(tensors_close(actual.inputs[i].to(at::kDouble), expected.inputs[i],
                                      dtype == at::kDouble ? 1e-8 : 1e-3));
          }
        }
      }
    }
  }
}

TEST(SparseMaskAttentionGradientTest, SixteenBitInputsGetSixteenBitGradients) {
  const Sizes sizes{1, 2, 2, 20, 20, 8, 8};
  const Inputs in = random_inputs(sizes, at::kBFloat16);
  const at::Tensor grad = random_grad(sizes).to(at::kBFloat16);
  const Gradients actual = ours(in, {}, Normalizer::softmax, grad);
  const Gradients expected = expected_for(in, {}, Normalizer::softmax, grad);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(actual.inputs[i].scalar_type(), at::kBFloat16);
    EXPECT_TRUE(tensors_close(actual.inputs[i].to(at::kDouble), expected.inputs[i], 1e-3, 0x1p-8));
  }
}

TEST(SparseMaskAttentionGradientTest, OnlyNeededGradients) {
  const Inputs in = random_inputs({1, 2, 2, 6, 7, 4, 4}, at::kFloat);
  const at::Tensor grad = torch::ones_like(in.query);
  const AttentionCall call{in.query, in.key, in.value, std::nullopt, Normalizer::sparsemax, std::nullopt, {}};
  const auto all = call_attention_backward(grad, call, {}, {true, true, true, false});
  const std::vector<at::Tensor> full = {std::get<0>(all), std::get<1>(all), std::get<2>(all)};
  for (size_t wanted = 0; wanted < 3; ++wanted) {
    NeededGradients needed{};
    needed[wanted] = true;
    const auto some = call_attention_backward(grad, call, {}, needed);
    const std::vector<at::Tensor> single = {std::get<0>(some), std::get<1>(some), std::get<2>(some)};
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(single[i].defined(), i == wanted);
      if (i == wanted) {
        EXPECT_TRUE(tensors_equal(single[i], full[i]));
      }
    }
  }
  // Through autograd: frozen keys and values.
  const at::Tensor query = in.query.detach().requires_grad_();
  sparse_mask_attention(query, in.key, in.value, {}, Normalizer::sparsemax).backward(grad);
  EXPECT_TRUE(tensors_equal(query.grad(), full[0]));
  EXPECT_FALSE(in.key.grad().defined());
}

TEST(SparseMaskAttentionGradientTest, SecondDerivativeThrows) {
  const Inputs in = random_inputs({1, 1, 1, 3, 3, 2, 2});
  const at::Tensor query = in.query.detach().requires_grad_();
  const at::Tensor output = sparse_mask_attention(query, in.key, in.value, {}, Normalizer::sparsemax);
  const at::Tensor first = torch::autograd::grad({output.sum()}, {query}, {}, true, /*create_graph=*/true)[0];
  const std::string text = test::message_of([&] { torch::autograd::grad({first.sum()}, {query}); });
  EXPECT_NE(text.find("sparse_mask_attention"), std::string::npos) << text;
}

TEST(SparseMaskAttentionGradientTest, FullyMaskedRowsGiveZeroGradients) {
  const Sizes sizes{2, 2, 2, 6, 4, 3, 3};
  const Inputs in = random_inputs(sizes, at::kFloat);
  SparseMask mask;
  mask.causal = true;
  mask.key_lengths = torch::tensor({0, 4}, torch::kLong);
  for (const Normalizer normalizer : every_normalizer()) {
    const Gradients actual = ours(in, mask, normalizer, random_grad(sizes));
    for (const at::Tensor& gradient : actual.inputs) EXPECT_EQ(gradient[0].abs().sum().item<double>(), 0.0);
    EXPECT_EQ(actual.inputs[0][1].narrow(1, 0, 2).abs().sum().item<double>(), 0.0);
    EXPECT_GT(actual.inputs[2][1].abs().sum().item<double>(), 0.0);
  }
}

TEST(SparseMaskAttentionGradientTest, EmptyInputs) {
  for (const Sizes& sizes : std::vector<Sizes>{{0, 2, 2, 3, 3, 4, 4},
                                               {2, 0, 0, 3, 3, 4, 4},
                                               {2, 2, 2, 0, 3, 4, 4},
                                               {2, 2, 2, 3, 0, 4, 4},
                                               {2, 2, 2, 3, 3, 0, 4},
                                               {2, 2, 2, 3, 3, 4, 0}}) {
    const Inputs in = random_inputs(sizes);
    const Gradients actual = ours(in, {}, Normalizer::sparsemax, random_grad(sizes));
    EXPECT_EQ(actual.inputs[0].sizes(), in.query.sizes());
    EXPECT_EQ(actual.inputs[1].sizes(), in.key.sizes());
    for (const at::Tensor& gradient : actual.inputs) EXPECT_TRUE(gradient.isfinite().all().item<bool>());
    if (sizes.queries == 0) {
      EXPECT_EQ(actual.inputs[2].abs().sum().item<double>(), 0.0);
    }
    if (sizes.keys == 0) {
      EXPECT_EQ(actual.inputs[0].abs().sum().item<double>(), 0.0);
    }
  }
}

TEST(SparseMaskAttentionGradientTest, NanStaysInItsRow) {
  const Sizes sizes{1, 1, 1, 50, 50, 8, 8};
  SparseMask causal;
  causal.causal = true;
  for (const Normalizer normalizer : every_normalizer()) {
    SCOPED_TRACE(normalizer_name(normalizer));
    const at::Tensor clean_grad = random_grad(sizes).to(at::kFloat);
    const Gradients expected = ours(random_inputs(sizes, at::kFloat), causal, normalizer, clean_grad);
    Inputs in = random_inputs(sizes, at::kFloat);
    in.query[0][0][45][3] = std::nan("");
    in.value[0][0][40].fill_(std::nan(""));
    at::Tensor grad = clean_grad.clone();
    grad[0][0][44][0] = std::numeric_limits<double>::infinity();
    const Gradients actual = ours(in, causal, normalizer, grad);
    // Queries before key 40 see nothing spoilt; keys after row 45 are seen by no spoilt row.
    EXPECT_TRUE(tensors_close(actual.inputs[0].narrow(2, 0, 40), expected.inputs[0].narrow(2, 0, 40), 1e-5));
    EXPECT_TRUE(tensors_close(actual.inputs[2].narrow(2, 46, 4), expected.inputs[2].narrow(2, 46, 4), 1e-5));
    EXPECT_TRUE(actual.inputs[0][0][0][45].isnan().all().item<bool>());
  }
}

TEST(SparseMaskAttentionGradientTest, StridedInputsAndGradients) {
  const Sizes sizes{2, 3, 3, 20, 20, 8, 8};
  const Inputs in = random_inputs(sizes, at::kFloat);
  const at::Tensor grad = random_grad(sizes).to(at::kFloat);
  const Gradients expected = ours(in, {}, Normalizer::sparsemax, grad);
  const auto transposed = [](const at::Tensor& x) { return x.transpose(1, 2).contiguous().transpose(1, 2); };
  const Gradients actual = ours({transposed(in.query), transposed(in.key), transposed(in.value)}, {},
                                Normalizer::sparsemax, transposed(grad));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(tensors_equal(actual.inputs[i], expected.inputs[i]));
    EXPECT_TRUE(actual.inputs[i].transpose(1, 2).is_contiguous())
        << "gradients follow their input's memory order";
  }
  const at::Tensor constant = torch::ones({1, 1, 1, 1}).expand_as(grad);
  EXPECT_TRUE(tensors_equal(ours(in, {}, Normalizer::sparsemax, constant).inputs[1],
                            ours(in, {}, Normalizer::sparsemax, constant.contiguous()).inputs[1]));
}

TEST(SparseMaskAttentionGradientTest, ThreadCountsGiveEqualBits) {
  const int before = at::get_num_threads();
  const Sizes sizes{3, 4, 2, 70, 50, 16, 16};
  const Inputs in = random_inputs(sizes, at::kFloat);
  const at::Tensor grad = random_grad(sizes);
  for (const auto& [name, mask] : every_mask(sizes)) {
    at::set_num_threads(1);
    const Gradients expected = ours(in, mask, Normalizer::softmax, grad);
    for (const int threads : {2, 4}) {
      at::set_num_threads(threads);
      const Gradients actual = ours(in, mask, Normalizer::softmax, grad);
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_TRUE(tensors_equal(actual.inputs[i], expected.inputs[i])) << name << ' ' << threads;
      }
    }
  }
  at::set_num_threads(before);
}

// The forward pass keeps the weights of short rows; computed again they have the same bits, and so have the
// gradients. Under lists sums over a row begin at its first listed key only where weights are computed: they
// differ by a few roundings, of 2^-53, 2^-24 or 2^-8 each.
TEST(SparseMaskAttentionGradientTest, KeptWeightsChangeNothing) {
  for (const auto& [queries, keys] :
       std::vector<std::pair<int64_t, int64_t>>{{80, 80}, {130, 16}, {7, 100}}) {
    const Sizes sizes{2, 4, 2, queries, keys, 13, 10};
    for (const auto dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
      const Inputs in = random_inputs(sizes, dtype);
      const at::Tensor grad = random_grad(sizes).to(dtype);
      for (const auto& [name, mask] : every_mask(sizes)) {
        for (const Normalizer normalizer : every_normalizer()) {
          SCOPED_TRACE(name + " " + std::string(normalizer_name(normalizer)) + " " + std::to_string(queries));
          const AttentionCall call{in.query, in.key, in.value, std::nullopt, normalizer, std::nullopt, mask};
          const std::vector<at::Tensor> kept = std::get<1>(call_attention_forward(call));
          ASSERT_EQ(kept.size(), 1U);
          EXPECT_TRUE(tensors_equal(kept[0], std::get<1>(call_attention_forward(call))[0]))
              << "what no block writes was left as it was found";
          const auto [query, key, value, bias] =
              call_attention_backward(grad, call, kept, {true, true, true, false});
          const auto again = call_attention_backward(grad, call, {}, {true, true, true, false});
          const double rounding = dtype == at::kDouble ? 0x1p-53 : dtype == at::kFloat ? 0x1p-24 : 0x1p-8;
          const double tolerance = mask.row_offsets ? 16 * rounding : 0.0;
          EXPECT_TRUE(tensors_close(query, std::get<0>(again), tolerance, tolerance));
          EXPECT_TRUE(tensors_close(key, std::get<1>(again), tolerance, tolerance));
          EXPECT_TRUE(tensors_close(value, std::get<2>(again), tolerance, tolerance));
        }
      }
    }
  }
}

// Counts what LibTorch allocates; the kernels' own scratch is a block of queries per thread.
class MemoryWatch : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    largest = std::max(largest, size);
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t largest = 0;
};

TEST(SparseMaskAttentionGradientTest, NoQuadraticMemoryInBackward) {
  const Sizes sizes{1, 1, 1, 1500, 1500, 8, 8};
  const Inputs in = random_inputs(sizes, at::kFloat);
  const at::Tensor grad = random_grad(sizes).to(at::kFloat);
  const auto watch = std::make_shared<MemoryWatch>();
  {
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, watch);
    ours(in, {}, Normalizer::sparsemax, grad);
  }
  EXPECT_GE(watch->largest, 1500 * 8 * 4) << "the watch sees the gradients";
  // Without 8-bit products keys are kept in fp32, in whole blocks of 64 rows and whole vectors of 16 numbers.
  EXPECT_LE(watch->largest, 1536 * 16 * 4)
      << "nothing larger than the padded keys (1500 x 1500 floats are 9 MB)";
}

}  // namespace
}  // namespace giantrabbit::ops
