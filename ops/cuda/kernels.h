// CUDA kernels of this library as plain functions, without headers of LibTorch or CUDA. In: device pointers
// to contiguous memory, sizes, and a cudaStream_t as `stream`. Out: a cudaError_t, 0 for success; the work
// itself is queued, and nothing is launched where there is nothing to do. Results follow the row contract of
// ops/sparsemax.h and depend on a row's values only: no atomics, every sum in a fixed order. Results may not
// overlap operands.
#pragma once

#include <cstdint>

#include "ops/normalizer.h"

namespace giantrabbit::ops::cuda {

enum class Dtype { float32, float64, bfloat16, float16 };

struct Rows {
  int64_t count;
  int64_t length;  // at most 2^31 - 2^16
};

// sparsemax and entmax15: scores to weights; both of `dtype`.
int launch_normalize_rows(Normalizer normalizer, Dtype dtype, const Rows& rows, const void* scores,
                          void* weights, void* stream);
int launch_normalize_rows_backward(Normalizer normalizer, Dtype dtype, const Rows& rows, const void* grad,
                                   const void* weights, void* grad_scores, void* stream);

// sparsemax_loss and entmax15_loss, one number per row, float32 or float64. A target that is no class and not
// ignored gives NaN in its row: the host does not see it.
int launch_row_losses(Normalizer normalizer, Dtype dtype, const Rows& rows, const void* logits,
                      const int64_t* targets, void* losses, void* stream);
int launch_row_losses_backward(Dtype dtype, const Rows& rows, const void* grad, const void* weights,
                               const int64_t* targets, void* grad_logits, void* stream);

int launch_squared_relu(Dtype dtype, int64_t count, const void* x, void* result, void* stream);
int launch_squared_relu_backward(Dtype dtype, int64_t count, const void* grad, const void* x, void* grad_x,
                                 void* stream);

// Attention, see ops/sparse_mask_attention.h: key and value heads serve heads / key_heads query heads each.
struct HeadsLayout {  // element (b, h, i, c) lies at b * batch + h * head + i * row + c
  int64_t batch;
  int64_t head;
  int64_t row;
};

struct AttentionProblem {
  int64_t batch;
  int64_t heads;
  int64_t key_heads;
  int64_t queries;
  int64_t keys;
  int64_t width;        // of queries and keys
  int64_t value_width;  // of values and results
  HeadsLayout query;
  HeadsLayout key;
  HeadsLayout value;
  HeadsLayout result;
  double scale;
  bool causal;                 // aligned to the end of the keys
  int64_t window;              // 0: none
  const int64_t* key_lengths;  // on the device, one per sequence; null: all keys
};

int launch_attention(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem, const void* query,
                     const void* key, const void* value, void* result, void* stream);

}  // namespace giantrabbit::ops::cuda
