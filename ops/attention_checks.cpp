// Checks of sparse_mask_attention and the shapes that follow from its arguments: in, an AttentionCall; out,
// nothing or one sentence that names the operator, what it expected and what came. Reads no tensor data.
#include <cmath>

#include <ATen/ExpandUtils.h>
#include <ATen/Functions.h>

#include "ops/attention_call.h"

namespace giantrabbit::ops {
namespace {

void check_dtypes(const char* name, const AttentionCall& call) {
  const at::ScalarType dtype = call.query.scalar_type();
  const bool known =
      dtype == at::kFloat || dtype == at::kDouble || dtype == at::kBFloat16 || dtype == at::kHalf;
  TORCH_CHECK(known && call.key.scalar_type() == dtype && call.value.scalar_type() == dtype, name,
              ": query, key and value need one dtype of Float, Double, BFloat16 and Half, got query ", dtype,
              ", key ", call.key.scalar_type(), " and value ", call.value.scalar_type());
  TORCH_CHECK(call.key.device() == call.query.device() && call.value.device() == call.query.device(), name,
              ": query, key and value need one device, got query ", call.query.device(), ", key ",
              call.key.device(), " and value ", call.value.device());
}

void check_shapes(const char* name, const AttentionCall& call) {
  const auto query = call.query.sizes();
  const auto key = call.key.sizes();
  const auto value = call.value.sizes();
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

void check_integers(const char* name, const char* argument, const AttentionCall& call,
                    const at::Tensor& tensor) {
  TORCH_CHECK(tensor.scalar_type() == at::kLong && tensor.device() == call.query.device(), name, ": ",
              argument, " needs Long on ", call.query.device(), ", got ", tensor.scalar_type(), " on ",
              tensor.device());
}

void check_lists(const char* name, const AttentionCall& call) {
  const SparseMask& mask = call.mask;
  TORCH_CHECK(mask.row_offsets.has_value() == mask.key_indices.has_value(), name,
              ": row_offsets and key_indices need to be given together, got only ",
              mask.row_offsets ? "row_offsets" : "key_indices");
  TORCH_CHECK(mask.block_rows >= 1 && mask.block_columns >= 1, name,
              ": block_rows and block_columns need to be at least 1, got ", mask.block_rows, " and ",
              mask.block_columns);
  if (!mask.row_offsets) return;
  check_integers(name, "row_offsets", call, *mask.row_offsets);
  check_integers(name, "key_indices", call, *mask.key_indices);
  const int64_t entries = (call.queries() == 0 ? 0 : (call.queries() - 1) / mask.block_rows + 1) + 1;
  const auto sizes = mask.row_offsets->sizes();
  const bool shared = sizes == at::IntArrayRef({entries});
  const bool per_batch = sizes == at::IntArrayRef({call.batch(), entries});
  const bool per_head = sizes == at::IntArrayRef({call.batch(), call.heads(), entries});
  TORCH_CHECK(shared || per_batch || per_head, name, ": row_offsets needs shape [", entries, "], [",
              call.batch(), ", ", entries, "] or [", call.batch(), ", ", call.heads(), ", ", entries,
              "] for query ", call.query.sizes(), " in blocks of ", mask.block_rows, " rows, got ", sizes);
  TORCH_CHECK(mask.key_indices->dim() == 1, name, ": key_indices needs 1 dimension, got ",
              mask.key_indices->sizes());
}

}  // namespace

double AttentionCall::score_scale() const {
  if (scale) return *scale;
  return width() == 0 ? 1.0 : 1.0 / std::sqrt(static_cast<double>(width()));
}

void check_attention_call(const char* name, const AttentionCall& call) {
  check_shapes(name, call);
  check_dtypes(name, call);
  const SparseMask& mask = call.mask;
  TORCH_CHECK(!mask.window || *mask.window >= 1, name, ": window needs to be at least 1, got ", *mask.window);
  if (mask.key_lengths) {
    check_integers(name, "key_lengths", call, *mask.key_lengths);
    TORCH_CHECK(mask.key_lengths->sizes() == at::IntArrayRef({call.batch()}), name,
                ": key_lengths needs shape [", call.batch(), "] for query ", call.query.sizes(), ", got ",
                mask.key_lengths->sizes());
  }
  check_lists(name, call);
  if (!call.bias) return;
  const std::array<int64_t, 4> scores = {call.batch(), call.heads(), call.queries(), call.keys()};
  TORCH_CHECK(at::isFloatingType(call.bias->scalar_type()) && call.bias->device() == call.query.device() &&
                  at::is_expandable_to(call.bias->sizes(), scores),
              name, ": bias needs a floating dtype on ", call.query.device(),
              " and a shape that broadcasts to ", at::IntArrayRef(scores), ", got ", call.bias->scalar_type(),
              " on ", call.bias->device(), " of shape ", call.bias->sizes());
}

at::Tensor empty_like_heads(const at::Tensor& like, at::IntArrayRef sizes) {
  if (like.stride(1) >= like.stride(2)) return at::empty(sizes, like.options());
  return at::empty({sizes[0], sizes[2], sizes[1], sizes[3]}, like.options()).transpose(1, 2);
}

}  // namespace giantrabbit::ops
