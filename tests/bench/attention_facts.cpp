// See attention_facts.h.
//
// Tolerance: fp32 scores of width d err by less than (d + 8) 2^-24 times the sum of magnitudes behind a
// score, 4e-6 times that for d = 64; magnitudes sum up to about five times the largest score here, results
// and gradients are sums of a few such terms: 2e-5 (1 + max|score|). A key that changes sides at the
// threshold makes a gradient jump, so queries with a key within 1e-5 (1 + max|score|) of it get no gradient.
#include "tests/bench/attention_facts.h"

#include <algorithm>
#include <cmath>

#include "ops/attention_call.h"
#include "ops/reference/sparsemax.h"

namespace giantrabbit::bench {
namespace {

constexpr int64_t kSampledQueries = 48;

at::Tensor hidden_pairs(const Problem& problem, const at::Tensor& sample) {
  const Shape& shape = problem.shape;
  const at::Tensor keys = torch::arange(shape.keys);
  const at::Tensor past = (sample + (shape.keys - shape.queries)).unsqueeze(1) - keys;  // how far back
  at::Tensor hidden = torch::zeros(past.sizes(), torch::kBool);
  if (shape.causal) hidden = hidden.logical_or(past.lt(0));
  if (shape.window) hidden = hidden.logical_or(past.abs().ge(*shape.window));
  if (!problem.mask.key_lengths) return hidden;
  return hidden.logical_or(keys.ge(problem.mask.key_lengths->view({-1, 1, 1, 1})));
}

struct Expected {
  std::vector<at::Tensor> leaves;  // sampled queries, keys, values
  at::Tensor result;
  at::Tensor decided;  // [B, H, sample, 1]: no key close to the threshold
  double tolerance;
};

Expected define(const Problem& problem, const at::Tensor& sample) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(problem.shape.width));
  Expected expected{problem.leaves(at::kDouble), {}, {}, {}};
  auto& leaves = expected.leaves;
  leaves[0] = leaves[0].detach().index_select(2, sample).set_requires_grad(true);
  const at::Tensor scores = (leaves[0].matmul(leaves[1].transpose(2, 3)) * scale)
                                .masked_fill(hidden_pairs(problem, sample), -INFINITY);
  const bool sparsemax = problem.normalizer == ops::Normalizer::sparsemax;
  const at::Tensor weights = problem.normalizer == ops::Normalizer::softmax ? scores.softmax(-1)
                             : sparsemax ? ops::reference::sparsemax(scores)
                                         : ops::reference::entmax15(scores);
  expected.result = weights.matmul(leaves[2]);
  const at::Tensor largest = weights.detach().amax(-1, true);
  const at::Tensor plain = scores.detach();
  const double size = 1.0 + plain.masked_fill(plain.isinf(), 0.0).abs().max().item<double>();
  const at::Tensor tau = plain.amax(-1, true) - (sparsemax ? largest : 2.0 * largest.sqrt());
  expected.decided = (plain - tau).abs().amin(-1, true).gt(1e-5 * size);
  if (problem.normalizer == ops::Normalizer::softmax) expected.decided.fill_(true);
  expected.tolerance = 2e-5 * size;
  return expected;
}

// In units of 1 + the largest number expected: a gradient of a flat row sums up thousands of terms.
double largest_difference(const at::Tensor& actual, const at::Tensor& expected) {
  const double size = 1.0 + expected.abs().max().item<double>();
  const double difference = (actual.to(at::kDouble) - expected).abs().max().item<double>() / size;
  return std::isnan(difference) ? INFINITY : difference;
}

// The values' gradients sum up to the result's, because weights sum to 1; and both q.dq and k.dk summed are
// the scores times their gradients. Relative to the sums of magnitudes, which rounding is proportional to.
double identity_error(const Problem& problem, const at::Tensor& grad, const std::vector<at::Tensor>& grads) {
  const auto error = [](const at::Tensor& a, const at::Tensor& b) {
    return ((a.sum() - b.sum()).abs() / (a.abs().sum() + b.abs().sum() + 1e-30)).item<double>();
  };
  const auto wide = [](const at::Tensor& x) { return x.detach().to(at::kDouble); };
  const auto product = [&](size_t i) { return wide(problem.inputs[i]) * wide(grads[i]); };
  return std::max(error(wide(grads[2]), wide(grad)), error(product(0), product(1)));
}

void check_results(const Problem& problem, Facts& facts) {
  const Shape& shape = problem.shape;
  const bool all = shape.queries <= 2 * kSampledQueries;
  const at::Tensor sample =
      all ? torch::arange(shape.queries)
          : torch::linspace(0, static_cast<double>(shape.queries - 1), kSampledQueries).round().to(at::kLong);
  const Expected expected = define(problem, sample);
  const at::Tensor result = ours(problem);
  at::Tensor grad = problem.grad.clone();
  grad.index_copy_(2, sample, grad.index_select(2, sample) * expected.decided);
  const auto grads = torch::autograd::grad({result}, problem.inputs, {grad});
  const auto expected_grads = torch::autograd::grad({expected.result}, expected.leaves,
                                                    {grad.index_select(2, sample).to(at::kDouble)});
  facts.error =
      std::max(largest_difference(result.detach().index_select(2, sample), expected.result.detach()),
               largest_difference(grads[0].index_select(2, sample), expected_grads[0]));
  if (all) {
    for (const size_t i : {1, 2}) {
      facts.error = std::max(facts.error, largest_difference(grads[i], expected_grads[i]));
    }
  } else {
    facts.error = std::max(facts.error, identity_error(problem, grad, grads));
  }
  TORCH_CHECK(facts.error <= expected.tolerance,
              "attention_bench: ", ops::normalizer_name(problem.normalizer), " of ",
              problem.inputs[0].sizes(), " and ", problem.inputs[1].sizes(),
              " differs from the definition by ", facts.error, ", allowed are ", expected.tolerance);
}

// Of one head; key lengths count as the whole.
double visible_pairs(const Shape& shape) {
  double pairs = 0;
  for (int64_t query = 0; query < shape.queries; ++query) {
    const int64_t diagonal = query + shape.keys - shape.queries;
    const int64_t window = shape.window.value_or(shape.keys + shape.queries);
    const int64_t begin = std::max<int64_t>(0, diagonal - window + 1);
    const int64_t end = std::min(shape.keys, shape.causal ? diagonal + 1 : diagonal + window);
    pairs += static_cast<double>(std::max<int64_t>(0, end - begin));
  }
  return pairs;
}

void count(const Problem& problem, Facts& facts) {
  const at::NoGradGuard no_grad;
  const auto& inputs = problem.inputs;
  const double queries = static_cast<double>(inputs[0].size(0) * inputs[0].size(1) * inputs[0].size(2));
  const double heads = static_cast<double>(inputs[0].size(0) * inputs[0].size(1));
  const ops::AttentionSupport support =
      ops::sparse_mask_attention_support(inputs[0], inputs[1], inputs[2], problem.mask, problem.normalizer);
  const at::Tensor totals = support.counters.sum({0, 1}).to(at::kDouble);
  facts.support = static_cast<double>(support.weights.numel()) / queries;
  facts.dense_share = totals[4].item<double>() / (queries * static_cast<double>(problem.shape.keys));
  facts.dense_pairs = heads * visible_pairs(problem.shape) * facts.dense_share;
  if (facts.dense_share > 0) return;
  facts.coded_pairs = totals[0].item<double>();
  facts.candidates = totals[1].item<double>() / queries;
}

}  // namespace

Facts examine(const Problem& problem) {
  Facts facts;
  check_results(problem, facts);
  count(problem, facts);
  return facts;
}

}  // namespace giantrabbit::bench
