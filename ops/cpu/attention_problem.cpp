// The rules of a mask as ranges of keys. In, the mask's tensors, read once here and refused with a sentence
// if a number in them is out of its range; out, the keys that a query may see.
#include "ops/cpu/attention_problem.h"

#include "ops/mask_checks.h"

namespace giantrabbit::ops::cpu {
namespace {

constexpr const char* kName = "sparse_mask_attention";

void check_key_lengths(const at::Tensor& lengths, int64_t keys) {
  const int64_t* length = lengths.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < lengths.numel(); ++i) {
    TORCH_CHECK(length[i] >= 0 && length[i] <= keys, kName, ": key_lengths need to be 0 to ", keys, ", got ",
                length[i], " at position ", i);
  }
}

}  // namespace

MaskRules::MaskRules(const AttentionCall& call)
    : queries_(call.queries()),
      keys_(call.keys()),
      causal_(call.mask.causal),
      window_(
          std::min(call.mask.window.value_or(call.keys() + call.queries()), call.keys() + call.queries())),
      block_rows_(std::min(call.mask.block_rows, std::max<int64_t>(call.queries(), 1))),
      block_columns_(std::min(call.mask.block_columns, std::max<int64_t>(call.keys(), 1))) {
  auto& [lengths, offsets, indices] = tensors_;
  if (call.mask.key_lengths) {
    lengths = call.mask.key_lengths->contiguous();
    check_key_lengths(lengths, keys_);
    key_lengths_ = lengths.const_data_ptr<int64_t>();
  }
  if (call.mask.row_offsets) {
    offsets = call.mask.row_offsets->contiguous();
    indices = call.mask.key_indices->contiguous();
    check_list_numbers(kName, offsets, indices, (keys_ + block_columns_ - 1) / block_columns_);
    row_offsets_ = offsets.const_data_ptr<int64_t>();
    key_indices_ = indices.const_data_ptr<int64_t>();
    if (offsets.dim() >= 2) batch_stride_ = offsets.stride(0);
    if (offsets.dim() == 3) head_stride_ = offsets.stride(1);
  }
}

Range MaskRules::range(int64_t batch, int64_t query) const {
  const int64_t diagonal = query + keys_ - queries_;
  Range visible{std::max<int64_t>(0, diagonal - window_ + 1), std::min(keys_, diagonal + window_)};
  if (causal_) visible.end = std::min(visible.end, diagonal + 1);
  if (key_lengths_ != nullptr) visible.end = std::min(visible.end, key_lengths_[batch]);
  if (visible.empty()) return {0, 0};
  return visible;
}

}  // namespace giantrabbit::ops::cpu
