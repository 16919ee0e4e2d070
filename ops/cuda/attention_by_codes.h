// Attention on the tensor cores as the launch of attention uses it: which problems it takes, how much memory
// it needs beside theirs, and its launches. What it leaves over, attention_kernel.cu computes.
#pragma once

#include "ops/cuda/kernels.h"

namespace giantrabbit::ops::cuda {

// Queues the rows of a problem for which attention_workspace_bytes() is not 0. *left_over: a byte per row, in
// the workspace, 1 for those that are still to be computed.
int launch_attention_by_codes(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem,
                              const void* query, const void* key, const void* value, void* result,
                              const KeptRows& kept, void* workspace, void* stream,
                              const unsigned char** left_over);

}  // namespace giantrabbit::ops::cuda
