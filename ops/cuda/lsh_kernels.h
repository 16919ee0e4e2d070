// CUDA kernels of lsh_buckets and lsh_attention (ops/lsh_attention.h) as plain functions, by the conventions
// of kernels.h. In: strided rows of the inputs' dtype, hashing, chunking, the positions in the order of their
// buckets. Out: contiguous rows of the computing type (float, or double for float64), one head behind the
// other. Heads of all sequences are counted through: head b * heads + h; row i of a head is row head * length
// + i. Every number is summed in a fixed order, and rounds follow each other, so no atomics are needed.
#pragma once

#include "ops/cuda/kernels.h"

namespace giantrabbit::ops::cuda {

constexpr int kMostBucketFactors = 62;  // even numbers whose product is an int64

struct LshHashingProblem {
  int64_t batch;
  int64_t heads;
  int64_t length;
  int64_t width;
  HeadsLayout vectors;
  int64_t rounds;
  bool shared_rotations;  // one for all heads
  int factors;
  int32_t bucket_counts[kMostBucketFactors];
  const bool* valid;  // [batch, length]; null: all are
};

// rotations [heads or 1, width, rounds, sum(bucket_counts) / 2] of the computing type, contiguous; buckets
// [batch, heads, rounds, length].
int launch_lsh_buckets(Dtype dtype, const LshHashingProblem& problem, const void* vectors,
                       const void* rotations, int64_t* buckets, void* stream);

struct LshProblem {
  int64_t batch;
  int64_t heads;
  int64_t length;
  int64_t width;
  int64_t value_width;
  HeadsLayout query;
  HeadsLayout key;
  HeadsLayout value;
  double scale;
  int64_t rounds;
  int64_t chunk_length;
  int64_t chunks_before;
  int64_t chunks_after;
  bool causal;
  bool exclude_self;
  const bool* valid;     // [batch, length]; null: all are
  const int64_t* order;  // [batch, heads, rounds, length], positions by (bucket, position)
};

struct LshInputs {
  const void* query;
  const void* key;
  const void* value;
};

// Softmax. The output starts at 0, log_sums [rows] at -inf; they become the result and the log-sum-exp of all
// scores, -inf where a query saw nothing.
int launch_lsh_softmax(Dtype dtype, const LshProblem& problem, const LshInputs& inputs, void* output,
                       void* log_sums, void* stream);

// Gradients start at 0; null where not wanted. `means` [rows] is scratch. The gradient of the result has a
// layout of its own.
struct LshGradients {
  void* query;
  void* key;
  void* value;
};
int launch_lsh_softmax_backward(Dtype dtype, const LshProblem& problem, const LshInputs& inputs,
                                const void* grad, const HeadsLayout& grad_layout, const void* output,
                                const void* log_sums, void* means, const LshGradients& gradients,
                                void* stream);

// Sparsemax and entmax-1.5, in steps, for the heads `first` .. first + count. A row of scores has
// lsh_row_length() entries, one for every key that a round brings; a key that comes again is not permitted
// there. Numbers of chunks are computed once for all heads.
struct LshHeads {
  int64_t first;
  int64_t count;
};
int64_t lsh_row_length(const LshProblem& problem);
int launch_lsh_chunk_numbers(const LshProblem& problem, int32_t* numbers, void* stream);
int launch_lsh_scores(Dtype dtype, const LshProblem& problem, const LshHeads& heads, const LshInputs& inputs,
                      const int32_t* numbers, void* scores, void* stream);

// Thresholds of rows, and how many weights are not 0; null where not wanted.
struct LshThresholds {
  void* maxima;     // of the computing type
  double* taus;     // NaN: the row is undefined
  int64_t* counts;  // 0 for padding
};
// The output starts at 0. It and the thresholds are those of all heads, scores those of `heads`.
int launch_lsh_sparse_rows(Normalizer normalizer, Dtype dtype, const LshProblem& problem,
                           const LshHeads& heads, const void* value, const int32_t* numbers,
                           const void* scores, void* output, const LshThresholds& thresholds, void* stream);

// The weights that are not 0, row behind row: those of row r are offsets[r] .. offsets[r + 1] - 1.
struct LshSupport {
  const int64_t* offsets;  // [rows + 1]
  int64_t* keys;           // rows of the keys
  int64_t* queries;        // rows of the queries
  void* weights;
};
// offsets[first row of `heads`] counts as 0.
int launch_lsh_support(Normalizer normalizer, Dtype dtype, const LshProblem& problem, const LshHeads& heads,
                       const int32_t* numbers, const void* scores, const LshThresholds& thresholds,
                       const LshSupport& support, void* stream);

// For all heads at once. score_grads [entries] is written by the first and read by the second; `by_key` lists
// the entries of key r, by their queries, at key_offsets[r] .. key_offsets[r + 1] - 1.
int launch_lsh_sparse_backward_queries(Normalizer normalizer, Dtype dtype, const LshProblem& problem,
                                       const LshInputs& inputs, const void* grad,
                                       const HeadsLayout& grad_layout, const LshSupport& support,
                                       void* score_grads, void* grad_query, void* stream);
int launch_lsh_sparse_backward_keys(Dtype dtype, const LshProblem& problem, const void* query,
                                    const void* grad, const HeadsLayout& grad_layout,
                                    const LshSupport& support, const void* score_grads,
                                    const int64_t* key_offsets, const int64_t* by_key, void* grad_key,
                                    void* grad_value, void* stream);

}  // namespace giantrabbit::ops::cuda
