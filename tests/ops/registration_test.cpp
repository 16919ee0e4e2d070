// Every operator of the library is reachable through the dispatcher, for every key that must serve it. The
// operators are found by asking the dispatcher, so a new one cannot be forgotten here.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/torch.h>

#include "ops/normalizer.h"

namespace giantrabbit::ops {
namespace {

std::vector<c10::OperatorHandle> own_operators() {
  std::vector<c10::OperatorHandle> own;
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (name.name.rfind("giantrabbit::", 0) != 0) continue;
    const auto handle = c10::Dispatcher::singleton().findSchema(name);
    if (handle.has_value()) own.push_back(*handle);
  }
  return own;
}

TEST(RegistrationTest, EverySchemaHasEveryKernel) {
  for (const c10::OperatorHandle& op : own_operators()) {
    const std::string name = c10::toString(op.operator_name());
    // Composed of other operators, and nothing else: it inherits their kernels and derivatives.
    if (op.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd)) continue;
    EXPECT_TRUE(op.hasKernelForDispatchKey(c10::DispatchKey::CPU)) << name;
    EXPECT_TRUE(op.hasKernelForDispatchKey(c10::DispatchKey::Autograd)) << name;
    EXPECT_TRUE(op.hasKernelForDispatchKey(c10::DispatchKey::Meta)) << name;
    // Operators with a leading underscore are called by Autograd kernels, on tensors whose dtype is settled;
    // an out= overload computes in the dtype of `out`.
    const bool settled = name.rfind("giantrabbit::_", 0) == 0 || op.operator_name().overload_name == "out";
    EXPECT_TRUE(settled || op.hasKernelForDispatchKey(c10::DispatchKey::AutocastCPU)) << name;
  }
}

TEST(RegistrationTest, OperatorsOfTheContractExist) {
  std::vector<std::string> names;
  for (const c10::OperatorHandle& op : own_operators()) names.push_back(c10::toString(op.operator_name()));
  for (const char* wanted :
       {"sparsemax", "entmax15", "sparsemax.out", "entmax15.out", "_sparsemax_backward", "_entmax15_backward",
        "_sparsemax_backward.out", "_entmax15_backward.out", "sparsemax_loss", "entmax15_loss",
        "_sparsemax_loss_backward", "sparse_mask_attention", "sparsemax_attention", "entmax15_attention",
        "lsh_attention", "lsh_buckets"}) {
    EXPECT_EQ(std::count(names.begin(), names.end(), std::string("giantrabbit::") + wanted), 1) << wanted;
  }
}

TEST(RegistrationTest, SchemasAliasNothingButOut) {
  for (const c10::OperatorHandle& op : own_operators()) {
    const bool writes_out = op.operator_name().overload_name == "out";
    for (const c10::Argument& argument : op.schema().arguments()) {
      const bool written = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
      EXPECT_EQ(written, writes_out && argument.name() == "out") << op.schema();
    }
    for (const c10::Argument& result : op.schema().returns())
      EXPECT_EQ(result.alias_info() != nullptr, writes_out) << op.schema();
  }
}

TEST(NormalizerTest, NamesGoThereAndBack) {
  for (const auto normalizer : {Normalizer::softmax, Normalizer::sparsemax, Normalizer::entmax15}) {
    EXPECT_EQ(parse_normalizer(normalizer_name(normalizer)), normalizer);
  }
}

TEST(NormalizerTest, AnUnknownNameListsTheKnownOnes) {
  try {
    parse_normalizer("sparse");
    FAIL() << "accepted";
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    for (const char* part : {"softmax", "sparsemax", "entmax15", "'sparse'"}) {
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
  }
}

}  // namespace
}  // namespace giantrabbit::ops
