// See exact_attention_checks.h.
//
// Note [Tolerances of exact attention]
// u = 2^-24. A fp32 score of width d differs from the score in double by at most e = (d + 8) u Z with
// Z = scale max_j sum_c |q_c k_jc| over the keys that the row may see (d - 1 additions and d products in any
// order, and rounding of the scale and of the scaled query: Higham 2002, section 3.1). If the scores err by
// e, so does tau, because tau(z + e) = tau(z) + e and tau grows with z. Hence, for sparsemax,
//   - a key whose score lies within 2 e + 16 u of tau may change sides, no other;
//   - a weight z - tau errs by 2 e + 16 u: 16 roundings of numbers of size 1 for subtracting the maximum, the
//     sum over the support and the division;
// and for entmax-1.5 the same holds for the root r = z/2 - tau with e + 16 u, and for its square with
// 2 (e + 16 u) + (e + 16 u)^2 since r <= 1. A result sums m weights times values: m errors of weights times
// the largest value, and m + 2 roundings. Gradients are compared on the kernel's own support, because they
// jump where a key changes sides; what follows from there are sums, bounded term by term.
#include "tests/ops/exact_attention_checks.h"

#include <cmath>

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "ops/cpu/exact/block.h"
#include "ops/reference/sparse_mask_attention.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops::test {
namespace {

using test_support::tensors_close;
using test_support::tensors_equal;

constexpr double kRoundoff = 0x1p-24;
constexpr double kThresholdError = 16 * kRoundoff;

at::Tensor per_query_head(const at::Tensor& tensor, const AttentionCall& call) {
  return tensor.to(at::kDouble).repeat_interleave(call.heads() / call.key_heads(), 1);
}

at::Tensor per_key_head(const at::Tensor& tensor, const AttentionCall& call) {
  return tensor.unflatten(1, {call.key_heads(), call.heads() / call.key_heads()}).sum(2);
}

// The definition of a case and the sizes that its bounds need; all double, rows keep their last dimension.
struct Definition {
  at::Tensor query;
  at::Tensor key;
  at::Tensor value;
  at::Tensor weights;
  at::Tensor distance;     // |score - threshold|; infinite where nothing is permitted
  at::Tensor score_error;  // [B, H, M, 1]
  at::Tensor root_error;   // of z - tau, or of z/2 - tau
  at::Tensor weight_error;
  double scale;
};

Definition define(const ExactCase& of) {
  const AttentionCall call = of.call();
  const bool sparsemax = of.normalizer == Normalizer::sparsemax;
  Definition result{of.in.query.to(at::kDouble),
                    per_query_head(of.in.key, call),
                    per_query_head(of.in.value, call),
                    {},
                    {},
                    {},
                    {},
                    {},
                    call.score_scale()};
  result.weights =
      reference::attention_weights(result.query, result.key, of.mask, of.normalizer, result.scale);
  const at::Tensor hidden =
      of.mask.dense(call.batch(), call.heads(), call.queries(), call.keys()).logical_not();
  const at::Tensor keys = result.key.transpose(2, 3);
  const at::Tensor scores = (result.query.matmul(keys) * result.scale).masked_fill(hidden, -INFINITY);
  const at::Tensor sizes = result.query.abs().matmul(keys.abs()).masked_fill(hidden, 0.0);
  const at::Tensor largest = result.weights.amax(-1, true);
  const at::Tensor tau = scores.amax(-1, true) - (sparsemax ? largest : 2.0 * largest.sqrt());
  result.distance = (scores - tau).abs().nan_to_num(INFINITY);
  result.score_error = sizes.amax(-1, true) * std::abs(result.scale) *
                       (of.exact_scores ? 0.0 : static_cast<double>(call.width() + 8) * kRoundoff);
  result.root_error = (sparsemax ? 2.0 : 1.0) * result.score_error + kThresholdError;
  result.weight_error = sparsemax ? result.root_error : 2.0 * result.root_error + result.root_error.square();
  return result;
}

void expect_within(const char* what, const at::Tensor& actual, const at::Tensor& expected,
                   const at::Tensor& tolerance) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  const at::ScalarType dtype = actual.scalar_type();
  const double rounding = dtype == at::kBFloat16 ? 0x1p-8 : dtype == at::kHalf ? 0x1p-11 : 0x1p-24;
  constexpr double kSmallest = 1e-7;  // half's smallest step is 6e-8; for fp32 far below the other terms
  const at::Tensor allowed = tolerance + rounding * expected.abs() + (dtype == at::kHalf ? kSmallest : 1e-30);
  const at::Tensor excess = (actual.to(at::kDouble) - expected) / allowed;
  const auto close = tensors_close(excess, torch::zeros_like(excess), 1.0);
  if (close) return;
  const int64_t worst = excess.abs().nan_to_num(INFINITY).argmax().item<int64_t>();
  ADD_FAILURE() << what << ", in units of the tolerance: " << close.message() << "; there "
                << actual.to(at::kDouble).flatten()[worst].item<double>() << " instead of "
                << expected.flatten()[worst].item<double>();
}

void expect_support(const ExactCase& of, const Definition& definition, const KernelSupport& kernel) {
  const at::Tensor changed = kernel.weights.gt(0).logical_xor(definition.weights.gt(0));
  // With exact scores the sums of sparsemax are exact as well, and a tie with tau is decided as in double.
  const bool decided = of.exact_scores && of.normalizer == Normalizer::sparsemax;
  const at::Tensor reach = 2.0 * definition.score_error + (decided ? 0.0 : 2.0 * kThresholdError);
  const at::Tensor wrong = changed.logical_and(definition.distance.gt(reach)).nonzero();
  if (wrong.size(0) == 0) return;
  const auto number = [&](const at::Tensor& tensor) {
    const at::Tensor place = wrong[0];
    return tensor
        .expand_as(definition.weights)[place[0].item<int64_t>()][place[1].item<int64_t>()]
                                      [place[2].item<int64_t>()][place[3].item<int64_t>()]
        .item<double>();
  };
  ADD_FAILURE() << wrong.size(0) << " keys on the wrong side of the threshold, first: " << wrong[0]
                << " weight " << number(kernel.weights) << " instead of " << number(definition.weights)
                << ", distance " << number(definition.distance) << ", reach " << number(reach);
}

void expect_result(const Definition& definition, const KernelSupport& kernel) {
  expect_within("weights", kernel.weights, definition.weights,
                definition.weight_error.expand_as(kernel.weights));
  const at::Tensor members =
      kernel.weights.gt(0).sum(-1, true).maximum(definition.weights.gt(0).sum(-1, true));
  const at::Tensor sizes = definition.value.abs().amax({2, 3}, true);
  const at::Tensor expected = definition.weights.matmul(definition.value);
  const at::Tensor tolerance = sizes * (members * definition.weight_error + (members + 2.0) * kRoundoff);
  expect_within("result", kernel.output, expected, tolerance.expand_as(expected));
}

struct ScoreGradient {
  at::Tensor value;  // of the scaled scores, 0 outside the support
  at::Tensor error;
};

// g - mean(g) over the support, or r (g - sum(r g) / sum(r)) with r the root of the weight. g errs by
// (e + 2) u sum_c |dO_c v_c|; with G its largest magnitude in the row and sum(r) >= 1, which follows from
// sum(r^2) = 1, the mean errs by as much, by m roundings, and by 2 m G times the error of r.
ScoreGradient score_gradient(const ExactCase& of, const Definition& definition, const at::Tensor& support,
                             const at::Tensor& grad) {
  const bool sparsemax = of.normalizer == Normalizer::sparsemax;
  const at::Tensor values = definition.value.transpose(2, 3);
  const at::Tensor g = grad.matmul(values) * support;
  const at::Tensor root = sparsemax ? support : definition.weights.sqrt() * support;
  const at::Tensor total = root.sum(-1, true);
  const at::Tensor mean =
      (root * g).sum(-1, true) / torch::where(total.gt(0), total, torch::ones_like(total));
  const at::Tensor members = support.sum(-1, true);
  const at::Tensor largest = g.abs().amax(-1, true);
  const at::Tensor g_error = (grad.abs().matmul(values.abs()) * support).amax(-1, true) *
                             (static_cast<double>(of.in.value.size(3) + 2) * kRoundoff);
  at::Tensor error = 2.0 * g_error + (members + 8.0) * kRoundoff * 2.0 * largest;
  if (!sparsemax) error += definition.root_error * largest * (2.0 + 2.0 * members);
  return {root * (g - mean), error * support};
}

void expect_gradients(const ExactCase& of, const Definition& definition, const KernelSupport& kernel) {
  const AttentionCall call = of.call();
  const at::Tensor incoming = random_output_grad(of);
  const at::Tensor grad = incoming.to(at::kDouble);
  const at::Tensor support = kernel.weights.gt(0).to(at::kDouble);
  const auto [query_grad, key_grad, value_grad, none] =
      call_attention_backward(incoming, call, kernel.saved, {true, true, true, false});
  EXPECT_FALSE(none.defined());
  const ScoreGradient scores = score_gradient(of, definition, support, grad);
  const double scale = std::abs(definition.scale);
  // A sum of m terms of known error: the error of the terms, and m + 4 roundings of their magnitudes.
  const auto tolerance = [&](const at::Tensor& error, const at::Tensor& terms, const at::Tensor& factors) {
    const at::Tensor counts = terms.ne(0).sum(-1, true) + 4.0;
    return error.matmul(factors.abs()) + kRoundoff * counts * terms.abs().matmul(factors.abs());
  };
  expect_within("query gradient", query_grad, scores.value.matmul(definition.key) * definition.scale,
                tolerance(scores.error, scores.value, definition.key) * scale);
  const at::Tensor turned = scores.value.transpose(2, 3);
  // A group's heads are summed up in one chain: its terms are counted together.
  const double group = static_cast<double>(call.heads() / call.key_heads());
  expect_within(
      "key gradient", key_grad, per_key_head(turned.matmul(definition.query), call) * definition.scale,
      per_key_head(tolerance(scores.error.transpose(2, 3), turned, definition.query), call) * scale * group);
  const at::Tensor weights = (definition.weights * support).transpose(2, 3);
  expect_within(
      "value gradient", value_grad, per_key_head(weights.matmul(grad), call),
      per_key_head(tolerance((definition.weight_error * support).transpose(2, 3), weights, grad), call) *
          group);
  const auto again = call_attention_backward(incoming, call, {}, {true, true, true, false});
  EXPECT_TRUE(tensors_equal(std::get<0>(again), query_grad)) << "without a saved support";
  EXPECT_TRUE(tensors_equal(std::get<1>(again), key_grad)) << "without a saved support";
  EXPECT_TRUE(tensors_equal(std::get<2>(again), value_grad)) << "without a saved support";
}

at::Tensor written_out(const at::Tensor& offsets, const at::Tensor& keys, const at::Tensor& weights,
                       int64_t count) {
  const at::Tensor rows = torch::repeat_interleave(torch::arange(offsets.numel() - 1), offsets.diff());
  EXPECT_TRUE(weights.gt(0).all().item<bool>()) << "a key in the support has a weight";
  EXPECT_TRUE(rows.numel() < 2 || (rows * count + keys).diff().gt(0).all().item<bool>()) << "keys rise";
  at::Tensor dense = torch::zeros({offsets.numel() - 1, count}, torch::kDouble);
  return dense.index_put_({rows, keys.to(at::kLong)}, weights.to(at::kDouble));
}

}  // namespace

KernelSupport kernel_support(const AttentionCall& call) {
  KernelSupport result;
  std::tie(result.output, result.saved) = call_attention_forward(call);
  const int64_t rows = call.batch() * call.heads() * call.queries();
  const auto& saved = result.saved;
  // Where a block keeps no entries those of the support operator are taken, whose arithmetic is the same.
  const auto [output, offsets, keys, all_weights, counters] = call_attention_support(call);
  at::Tensor wide = torch::ones({rows}, torch::kBool);
  at::Tensor weights = torch::zeros({rows, call.keys()}, torch::kDouble);
  if (saved.size() == 5) {  // short rows: their weights alone
    const cpu::exact::QueryBlocks blocks{call.queries()};
    std::vector<at::Tensor> parts;
    for (int64_t block = 0; block < blocks.count(); ++block) {
      const cpu::Range queries = blocks.range(block);
      parts.push_back(saved[3].ge(0).narrow(2, block, 1).expand({-1, -1, queries.end - queries.begin}));
    }
    wide = at::cat(parts, 2).flatten();
    weights = written_out(saved[0], saved[1], saved[2], call.keys());
  }
  const at::Tensor dense = counters.select(-1, 4);
  result.all_narrow = dense.eq(0).all().item<bool>();
  result.all_wide = dense.eq(call.queries() * call.keys()).all().item<bool>();
  weights = torch::where(wide.unsqueeze(1), written_out(offsets, keys, all_weights, call.keys()), weights);
  result.weights = weights.view({call.batch(), call.heads(), call.queries(), call.keys()});
  return result;
}

at::Tensor random_output_grad(const ExactCase& of) {
  torch::manual_seed(kSeed + 3);
  const at::Tensor& query = of.in.query;
  return torch::randn({query.size(0), query.size(1), query.size(2), of.in.value.size(3)})
      .to(query.scalar_type());
}

void expect_matches_definition(const ExactCase& of, const std::string& label) {
  SCOPED_TRACE(label + " " + std::string(normalizer_name(of.normalizer)) + ", seed " + std::to_string(kSeed));
  const Definition definition = define(of);
  const KernelSupport kernel = kernel_support(of.call());
  EXPECT_TRUE(tensors_equal(attend(of.in, of.mask, of.normalizer, of.scale), kernel.output))
      << "without a saved support";
  expect_support(of, definition, kernel);
  expect_result(definition, kernel);
  expect_gradients(of, definition, kernel);
}

}  // namespace giantrabbit::ops::test
