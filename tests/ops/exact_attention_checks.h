// Exact sparse attention against its definition in double. In, a problem; out, test failures that name the
// worst entry. Bounds are derived per row from the inputs (exact_attention_checks.cpp), not fitted.
#pragma once

#include <optional>
#include <string>

#include "ops/attention_call.h"
#include "tests/ops/attention_cases.h"

namespace giantrabbit::ops::test {

struct ExactCase {
  Inputs in;
  SparseMask mask = {};
  Normalizer normalizer = Normalizer::sparsemax;
  std::optional<double> scale = std::nullopt;
  // Every product and partial sum of the scores is a number of fp32, so they carry no rounding at all.
  bool exact_scores = false;

  AttentionCall call() const { return {in.query, in.key, in.value, std::nullopt, normalizer, scale, mask}; }
};

// What the kernel keeps for backward, written out.
struct KernelSupport {
  at::Tensor output;
  std::vector<at::Tensor> saved;
  at::Tensor weights;  // [B, H, M, N] double, 0 outside the support
  bool all_narrow = false;
  bool all_wide = false;
};
KernelSupport kernel_support(const AttentionCall& call);

// An incoming gradient for the case's result, in its dtype.
at::Tensor random_output_grad(const ExactCase& of);

// Support, weights, result and all three gradients; the result without a saved support and the gradients
// computed without one have the same bits.
void expect_matches_definition(const ExactCase& of, const std::string& label);

}  // namespace giantrabbit::ops::test
