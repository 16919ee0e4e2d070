// Rows as the stages of exact attention read them: fp32, without gaps, a whole number of vectors wide.
#include <ATen/Functions.h>

#include "ops/cpu/exact/forward.h"

namespace giantrabbit::ops::cpu {

at::Tensor float_rows(const at::Tensor& tensor) {
  constexpr int64_t kMultiple = 16;
  const int64_t width = tensor.size(-1);
  const int64_t padding = (width + kMultiple - 1) / kMultiple * kMultiple - width;
  at::Tensor rows = tensor.to(at::kFloat);
  if (padding > 0) rows = at::constant_pad_nd(rows, {0, padding});  // keeps the order of dimensions in memory
  return rows.stride(-1) == 1 ? rows : rows.contiguous();
}

AttentionCall float_rows(const AttentionCall& call) {
  AttentionCall rows = call;
  rows.scale = call.score_scale();
  rows.query = float_rows(call.query);
  rows.key = float_rows(call.key);
  rows.value = float_rows(call.value);
  return rows;
}

}  // namespace giantrabbit::ops::cpu
