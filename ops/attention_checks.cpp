// Checks of sparse_mask_attention and the shapes that follow from its arguments: in, an AttentionCall; out,
// nothing or one sentence that names the operator, what it expected and what came. Reads no tensor data.
#include <cmath>

#include <ATen/ExpandUtils.h>
#include <ATen/Functions.h>

#include "ops/attention_call.h"
#include "ops/checks.h"
#include "ops/mask_checks.h"

namespace giantrabbit::ops {
namespace {

void check_dtypes(const char* name, const AttentionCall& call) {
  const at::ScalarType dtype = call.query.scalar_type();
  TORCH_CHECK(is_computed(dtype) && call.key.scalar_type() == dtype && call.value.scalar_type() == dtype,
              name, ": query, key and value need one dtype of Float, Double, BFloat16 and Half, got query ",
              dtype, ", key ", call.key.scalar_type(), " and value ", call.value.scalar_type());
  TORCH_CHECK(call.key.device() == call.query.device() && call.value.device() == call.query.device(), name,
              ": query, key and value need one device, got query ", call.query.device(), ", key ",
              call.key.device(), " and value ", call.value.device());
}

}  // namespace

SymbolicSizes AttentionCall::result_sizes() const {
  return {query.sym_size(0), query.sym_size(1), query.sym_size(2), value.sym_size(3)};
}

SymbolicSizes AttentionCall::score_sizes() const {
  return {query.sym_size(0), query.sym_size(1), query.sym_size(2), key.sym_size(2)};
}

double AttentionCall::score_scale() const {
  if (scale) return *scale;
  return width() == 0 ? 1.0 : 1.0 / std::sqrt(static_cast<double>(width()));
}

void check_attention_shapes(const char* name, const AttentionCall& call) {
  const auto query = call.query.sym_sizes();
  const auto key = call.key.sym_sizes();
  const auto value = call.value.sym_sizes();
  TORCH_CHECK(query.size() == 4 && key.size() == 4 && value.size() == 4, name,
              ": query, key and value need 4 dimensions [batch, heads, length, width], got query ", query,
              ", key ", key, " and value ", value);
  TORCH_CHECK(query[0] == key[0] && key[0] == value[0], name,
              ": query, key and value need equal batch sizes, got query ", query, ", key ", key,
              " and value ", value);
  TORCH_CHECK(key[1] == value[1], name, ": key and value need equal numbers of heads, got key ", key,
              " and value ", value);
  TORCH_CHECK(key[1] > 0 ? query[1] % key[1] == 0 : query[1] == 0, name,
              ": the heads of query need to be a multiple of those of key, got query ", query, " and key ",
              key);
  TORCH_CHECK(query[3] == key[3], name, ": query and key need equal widths, got query ", query, " and key ",
              key);
  TORCH_CHECK(key[2] == value[2], name, ": key and value need equal lengths, got key ", key, " and value ",
              value);
}

void check_attention_call(const char* name, const AttentionCall& call) {
  check_attention_shapes(name, call);
  check_dtypes(name, call);
  check_mask(name, call.mask, call.score_sizes(), call.query.device());
  if (call.bias) check_added_to_scores(name, "bias", call, *call.bias);
}

void check_added_to_scores(const char* name, const char* argument, const AttentionCall& call,
                           const at::Tensor& added, bool may_be_bool) {
  const SymbolicSizes scores = call.score_sizes();
  const bool known =
      at::isFloatingType(added.scalar_type()) || (may_be_bool && added.scalar_type() == at::kBool);
  TORCH_CHECK(
      known && added.device() == call.query.device() && at::is_expandable_to(added.sym_sizes(), scores), name,
      ": ", argument, " needs ", may_be_bool ? "Bool or " : "", "a floating dtype on ", call.query.device(),
      " and a shape that broadcasts to ", c10::SymIntArrayRef(scores), ", got ", added.scalar_type(), " on ",
      added.device(), " of shape ", added.sym_sizes());
}

at::Tensor empty_like_heads(const at::Tensor& like, c10::SymIntArrayRef sizes) {
  if (like.sym_stride(1) >= like.sym_stride(2)) return at::empty_symint(sizes, like.options());
  return at::empty_symint({sizes[0], sizes[2], sizes[1], sizes[3]}, like.options()).transpose(1, 2);
}

}  // namespace giantrabbit::ops
