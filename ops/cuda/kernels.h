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

// Explicit lists of a mask, see ops/sparse_mask.h. The host does not see the numbers: those outside of the
// keys, or of the indices, are not followed.
struct MaskLists {
  const int64_t* row_offsets = nullptr;  // on the device; null: no lists
  const int64_t* key_indices = nullptr;
  int64_t count = 0;  // of key_indices
  int64_t batch = 0;  // from the offsets of a sequence to those of the next one; 0: shared
  int64_t head = 0;
  int64_t block_rows = 1;
  int64_t block_columns = 1;  // at most the number of keys, or 1
};

// Added to the scores: float, for double scores double. Element (b, h, i, j) as in HeadsLayout; strides may
// be 0.
struct ScoreBias {
  const void* data = nullptr;
  HeadsLayout layout{};
  int64_t column = 0;
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
  HeadsLayout result;  // and of the result's gradient
  double scale;
  bool causal;                 // aligned to the end of the keys
  int64_t window;              // 0: none; at most queries + keys
  const int64_t* key_lengths;  // on the device, one per sequence; null: all keys
  MaskLists lists{};
  ScoreBias bias{};
};

constexpr int64_t kMostKeptKeys = 128;   // of a row
constexpr int64_t kQueriesPerBlock = 8;  // blocks begin anew with every head

// What the forward pass keeps of its weights. Rows are (b * heads + h) * queries + i; weights and whatever
// else is summed up is float, or double for double. Everything that is not null is written completely.
struct KeptRows {
  double* states = nullptr;   // [rows, 2]: what all weights of a row follow from; null: nothing is kept
  int64_t* counts = nullptr;  // [rows] entries of the support
  int32_t* wide_blocks =
      nullptr;  // [batch, heads, blocks] 1: rows of the block have a support but no entries
  // Of sparsemax and entmax15, [rows, capacity]: keys, rising, and weights of rows that have no more of them;
  // of other rows the first key is -1.
  int32_t* keys = nullptr;
  void* weights = nullptr;
  int64_t capacity = 0;          // at most kMostKeptKeys
  bool counts_wide_rows = true;  // false: those have 0 entries
};

// What a problem needs beside its operands; 0: nothing. Of the device that is current.
int64_t attention_workspace_bytes(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem);

int launch_attention(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem, const void* query,
                     const void* key, const void* value, void* result, void* workspace, void* stream,
                     const KeptRows& kept = {});

// The support in compressed rows: row_offsets [rows + 1] are the sums of kept.counts.
int launch_attention_support(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem,
                             const void* query, const void* key, const KeptRows& kept,
                             const int64_t* row_offsets, int32_t* keys, void* weights, void* stream);

// Rows with entries (at most kMostKeptKeys), and rows whose weights are computed again where they have none.
struct AttentionSupportRows {
  const double* states;
  const int32_t* wide_blocks;
  const int32_t* wide_heads;  // [batch, heads] 1: any block of the head is wide
  const int64_t* row_offsets;
  const int32_t* keys;
  const void* weights;
};

struct AttentionOperands {
  const void* query;
  const void* key;
  const void* value;
  const void* result_grad;
};

// Gradients of the entries' scores, of the queries and of the scores. Null where nobody needs them, but for
// `means`, which the gradient of the keys needs.
struct AttentionRowGradients {
  void* entry_grads;
  double* means;  // [rows] mean of the gradient of a wide row's weights
  void* query_grad;
  HeadsLayout query_layout;
  void* bias_grad;  // [batch, heads, queries, keys] and zero before; float, or double for double
};

int launch_attention_backward_rows(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem,
                                   const AttentionOperands& operands, const AttentionSupportRows& support,
                                   const AttentionRowGradients& gradients, void* stream);

// The support by keys: entries of key column (b * key_heads + g) * keys + j in the order of the rows, by a
// counting sort with cells for kTransposeParts parts of the rows.
constexpr int64_t kTransposeParts = 32;

// Adds to counts [columns, kTransposeParts], which are zero before.
int launch_count_support_columns(const AttentionProblem& problem, const AttentionSupportRows& support,
                                 int32_t* counts, void* stream);

// cells: before, the sums of the counts without the cell's own: where its entries begin. After, where they
// end.
struct TransposedSupport {
  int64_t* cells;  // [columns, kTransposeParts]
  int32_t* rows;   // [entries] (head in the group) * queries + query
  void* weights;
  void* score_grads;  // null if the gradient of the keys is not needed
};
int launch_transpose_support(Dtype dtype, const AttentionProblem& problem,
                             const AttentionSupportRows& support, const void* entry_grads,
                             const TransposedSupport& transposed, void* stream);

// Null where nobody needs them.
struct AttentionKeyGradients {
  void* key_grad;
  HeadsLayout key_layout;
  void* value_grad;
  HeadsLayout value_layout;
};
int launch_attention_backward_keys(Normalizer normalizer, Dtype dtype, const AttentionProblem& problem,
                                   const AttentionOperands& operands, const AttentionSupportRows& support,
                                   const TransposedSupport& transposed, const double* means,
                                   const AttentionKeyGradients& gradients, void* stream);

}  // namespace giantrabbit::ops::cuda
