// See mask_checks.h.
#include "ops/mask_checks.h"

namespace giantrabbit::ops {
namespace {

void check_integers(const char* name, const char* argument, const at::Tensor& tensor, at::Device device) {
  TORCH_CHECK(tensor.scalar_type() == at::kLong && tensor.device() == device, name, ": ", argument,
              " needs Long on ", device, ", got ", tensor.scalar_type(), " on ", tensor.device());
}

void check_lists(const char* name, const SparseMask& mask, const ScoreSizes& of, at::Device device) {
  TORCH_CHECK(mask.row_offsets.has_value() == mask.key_indices.has_value(), name,
              ": row_offsets and key_indices need to be given together, got only ",
              mask.row_offsets ? "row_offsets" : "key_indices");
  TORCH_CHECK(mask.block_rows >= 1 && mask.block_columns >= 1, name,
              ": block_rows and block_columns need to be at least 1, got ", mask.block_rows, " and ",
              mask.block_columns);
  if (!mask.row_offsets) return;
  check_integers(name, "row_offsets", *mask.row_offsets, device);
  check_integers(name, "key_indices", *mask.key_indices, device);
  const auto& [batch, heads, queries, keys] = of;
  const c10::SymInt entries = (queries == 0 ? c10::SymInt(0) : (queries - 1) / mask.block_rows + 1) + 1;
  const auto sizes = mask.row_offsets->sym_sizes();
  const bool shared = sizes == c10::SymIntArrayRef({entries});
  const bool per_batch = sizes == c10::SymIntArrayRef({batch, entries});
  const bool per_head = sizes == c10::SymIntArrayRef({batch, heads, entries});
  TORCH_CHECK(shared || per_batch || per_head, name, ": row_offsets needs shape [", entries, "], [", batch,
              ", ", entries, "] or [", batch, ", ", heads, ", ", entries, "] for ", queries,
              " queries in blocks of ", mask.block_rows, " rows, got ", sizes);
  TORCH_CHECK(mask.key_indices->dim() == 1, name, ": key_indices needs 1 dimension, got ",
              mask.key_indices->sym_sizes());
}

}  // namespace

void check_mask(const char* name, const SparseMask& mask, const ScoreSizes& sizes, at::Device device) {
  TORCH_CHECK(!mask.window || *mask.window >= 1, name, ": window needs to be at least 1, got ", *mask.window);
  if (mask.key_lengths) {
    check_integers(name, "key_lengths", *mask.key_lengths, device);
    TORCH_CHECK(mask.key_lengths->sym_sizes() == c10::SymIntArrayRef({sizes[0]}), name,
                ": key_lengths needs shape [", sizes[0], "] for scores ", c10::SymIntArrayRef(sizes),
                ", got ", mask.key_lengths->sym_sizes());
  }
  check_lists(name, mask, sizes, device);
}

void check_list_numbers(const char* name, const at::Tensor& row_offsets, const at::Tensor& key_indices,
                        int64_t key_blocks) {
  const int64_t* offset = row_offsets.const_data_ptr<int64_t>();
  const int64_t* index = key_indices.const_data_ptr<int64_t>();
  const int64_t entries = row_offsets.size(-1);
  for (int64_t i = 0; i < row_offsets.numel(); ++i) {
    const int64_t least = i % entries == 0 ? 0 : offset[i - 1];
    TORCH_CHECK(offset[i] >= least && offset[i] <= key_indices.numel(), name,
                ": row_offsets need to rise within 0 to ", key_indices.numel(),
                " (the number of key_indices), got ", offset[i], " after ", least);
    for (int64_t entry = least; i % entries != 0 && entry < offset[i]; ++entry) {
      const bool rising = entry == least || index[entry] > index[entry - 1];
      TORCH_CHECK(rising && index[entry] >= 0 && index[entry] < key_blocks, name,
                  ": key_indices need to rise strictly within a row and lie in 0 to ", key_blocks - 1,
                  ", got ", index[entry], " at position ", entry);
    }
  }
}

}  // namespace giantrabbit::ops
