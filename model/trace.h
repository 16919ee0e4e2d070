// Everything a forward pass can show for inspection: thought states, masks and the support of every
// attention. A null Trace* costs nothing; the attention then never asks for supports.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "ops/sparse_mask_attention.h"

namespace giantrabbit::model {

struct AttentionRecord {
  std::string name;     // "encoder.0.self", "thought.1.cross", "decoder.2.self", ..
  int64_t queries = 0;  // M and N of this call
  int64_t keys = 0;
  at::Tensor visible;             // [B, M] int64: keys that the mask let each query see
  ops::AttentionSupport support;  // compressed rows over (b, h, query)
};

struct Trace {
  std::vector<at::Tensor> thoughts;  // R_0 .. R_T, [B, N_t, D]
  // M_0 .. M_{T-1}: [B, N_t, D] for features, kept token indices [B, N_{t+1}] for tokens; empty without
  // masks.
  std::vector<at::Tensor> masks;
  std::vector<AttentionRecord> attentions;
};

}  // namespace giantrabbit::model
