// The queries that a block of the filter works on, and which keys they see. In: an attention problem and the
// number of a tile. Out: ranges of keys.
#pragma once

#include "ops/cuda/attention_codes.cuh"

namespace giantrabbit::ops::cuda {

// The tile of kCodedQueries queries that a block works on.
struct FilterTile {
  int b;
  int h;
  int64_t first;  // query
  KeyRange keys;  // that any of the queries sees

  __device__ FilterTile(const AttentionProblem& problem, const AttentionCodes& codes, int64_t tile) {
    const int64_t per_head = codes.query_rows / kCodedQueries;
    const int64_t heads = problem.batch * problem.heads;
    // The last queries of a head, which see most with a causal mask, come first.
    first = (per_head - 1 - tile / heads) * kCodedQueries;
    b = static_cast<int>(tile % heads / problem.heads);
    h = static_cast<int>(tile % problem.heads);
    keys = visible_to(problem, first, kCodedQueries);
  }

  __device__ int64_t head(const AttentionProblem& problem) const { return b * problem.heads + h; }

  // Keys that any of some queries sees; both ends rise with the query.
  __device__ KeyRange visible_to(const AttentionProblem& problem, int64_t query, int64_t count) const {
    const int64_t last = smaller(query + count, problem.queries) - 1;
    if (last < query) return {0, 0};
    return {visible_keys(problem, b, query).begin, visible_keys(problem, b, last).end};
  }

  // Keys that all of them see.
  __device__ KeyRange visible_to_all(const AttentionProblem& problem, int64_t query, int64_t count) const {
    const int64_t last = smaller(query + count, problem.queries) - 1;
    if (last < query) return {0, 0};
    return {visible_keys(problem, b, last).begin, visible_keys(problem, b, query).end};
  }
};

}  // namespace giantrabbit::ops::cuda
