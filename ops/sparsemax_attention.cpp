// The drop-in forms in terms of sparse_mask_attention: in, LibTorch's argument names; out, the operator's
// result. Composite: every backend, gradient and autocast rule of sparse_mask_attention applies. Causal
// aligns to the first key here and to the last key there, so a causal problem with M != N is cut where the
// two agree.
#include "ops/sparsemax_attention.h"

#include <limits>

#include <ATen/Functions.h>
#include <ATen/autocast_mode.h>

#include "ops/attention_call.h"
#include "ops/operator_handle.h"

namespace giantrabbit::ops {
namespace {

at::Tensor causal_from_first_key(const AttentionCall& call) {
  const auto attend = [&](const at::Tensor& query, const c10::SymInt& keys, bool causal) {
    SparseMask mask;
    mask.causal = causal;
    return sparse_mask_attention(query, call.key.narrow_symint(2, 0, keys),
                                 call.value.narrow_symint(2, 0, keys), mask, call.normalizer, call.scale);
  };
  const c10::SymInt queries = call.query.sym_size(2);
  const c10::SymInt keys = call.key.sym_size(2);
  if (queries <= keys) return attend(call.query, queries, true);
  const at::Tensor first = attend(call.query.narrow_symint(2, 0, keys), keys, true);
  return at::cat({first, attend(call.query.narrow_symint(2, keys, queries - keys), keys, false)}, 2);
}

// A bool mask as a floating one; 0 where a query may see a key, -inf elsewhere.
at::Tensor score_bias(const at::Tensor& attn_mask, const at::Tensor& query) {
  if (attn_mask.scalar_type() != at::kBool) return attn_mask;
  const auto dtype = query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::zeros_symint(attn_mask.sym_sizes(), attn_mask.options().dtype(dtype))
      .masked_fill(attn_mask.logical_not(), -std::numeric_limits<double>::infinity());
}

// `call` has no mask and no bias yet.
at::Tensor attend(const char* name, AttentionCall call, const std::optional<at::Tensor>& attn_mask,
                  bool is_causal, bool enable_gqa) {
  const int64_t dimensions = call.query.dim();
  TORCH_CHECK(
      dimensions >= 2 && dimensions <= 4 && call.key.dim() == dimensions && call.value.dim() == dimensions,
      name, ": query, key and value need the same number of dimensions, 2 to 4, got query ",
      call.query.sym_sizes(), ", key ", call.key.sym_sizes(), " and value ", call.value.sym_sizes());
  TORCH_CHECK(!(is_causal && attn_mask), name, ": expected attn_mask or is_causal=True, got both");
  for (at::Tensor* tensor : {&call.query, &call.key, &call.value}) {
    while (tensor->dim() < 4) *tensor = tensor->unsqueeze(0);
  }
  TORCH_CHECK(enable_gqa || call.query.sym_size(1) == call.key.sym_size(1), name,
              ": query and key need equal numbers of heads without enable_gqa=True, got query ",
              call.query.sym_sizes(), " and key ", call.key.sym_sizes());
  if (at::autocast::is_autocast_enabled(at::kCPU)) {
    check_attention_shapes(name, call);
  } else {
    check_attention_call(name, call);
  }
  if (attn_mask) {
    check_added_to_scores(name, "attn_mask", call, *attn_mask, /*may_be_bool=*/true);
    call.bias = score_bias(*attn_mask, call.query);
  }
  at::Tensor result = is_causal ? causal_from_first_key(call) : call_attention(call);
  while (result.dim() > dimensions) result = result.squeeze(0);
  return result;
}

at::Tensor sparsemax_attention_composite(const at::Tensor& query, const at::Tensor& key,
                                         const at::Tensor& value, const std::optional<at::Tensor>& attn_mask,
                                         bool is_causal, std::optional<double> scale, bool enable_gqa) {
  return attend("sparsemax_attention", {query, key, value, {}, Normalizer::sparsemax, scale, {}}, attn_mask,
                is_causal, enable_gqa);
}

at::Tensor entmax15_attention_composite(const at::Tensor& query, const at::Tensor& key,
                                        const at::Tensor& value, const std::optional<at::Tensor>& attn_mask,
                                        bool is_causal, std::optional<double> scale, bool enable_gqa) {
  return attend("entmax15_attention", {query, key, value, {}, Normalizer::entmax15, scale, {}}, attn_mask,
                is_causal, enable_gqa);
}

using DropIn = decltype(sparsemax_attention_composite);

}  // namespace

at::Tensor sparsemax_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                               const std::optional<at::Tensor>& attn_mask, bool is_causal,
                               std::optional<double> scale, bool enable_gqa) {
  static const auto handle = find_operator<DropIn>("giantrabbit::sparsemax_attention");
  return handle.call(query, key, value, attn_mask, is_causal, scale, enable_gqa);
}

at::Tensor entmax15_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                              const std::optional<at::Tensor>& attn_mask, bool is_causal,
                              std::optional<double> scale, bool enable_gqa) {
  static const auto handle = find_operator<DropIn>("giantrabbit::entmax15_attention");
  return handle.call(query, key, value, attn_mask, is_causal, scale, enable_gqa);
}

TORCH_LIBRARY_FRAGMENT(giantrabbit, library) {
  const std::string arguments =
      "(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, bool is_causal=False, *, float? "
      "scale=None, "
      "bool enable_gqa=False) -> Tensor";
  library.def(("sparsemax_attention" + arguments).c_str(), TORCH_FN(sparsemax_attention_composite));
  library.def(("entmax15_attention" + arguments).c_str(), TORCH_FN(entmax15_attention_composite));
}

}  // namespace giantrabbit::ops
