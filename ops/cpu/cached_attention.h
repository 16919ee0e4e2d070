// Attention of query rows over one cached head, on raw pointers: in, padded queries and the keys each may
// see; out, weighted sums of values, supports and counters. The row contract and the guarantees of
// ops/cached_attention.h hold. May use the threads of at::parallel_for where it is not called by one of them.
#pragma once

#include <span>
#include <vector>

#include "ops/cached_attention.h"
#include "ops/cpu/cache_sequence.h"
#include "ops/cpu/capability.h"

namespace giantrabbit::ops::cpu {

struct CachedSupport {
  std::vector<int64_t> keys;  // increasing
  std::vector<float> weights;
};

struct CachedQuery {
  const float* query;  // padded to the keys' stride
  int64_t begin;       // visible keys
  int64_t end;
  float* output;           // as many numbers as the values' stride
  CachedSupport* support;  // null: not wanted
};

struct CachedCall {
  const DecodeFunctions& functions;
  Normalizer normalizer;
  float scale;
};

// The rows of one sequence that share a key/value head.
void attend_head(const CachedCall& call, const CachedHead& head, std::span<CachedQuery> rows,
                 CachedAttentionCounters& counters);
// Every visible key in fp32: what attend_head does for softmax and for rows that skipping does not suit.
void attend_dense(const CachedCall& call, const CachedHead& head, std::span<CachedQuery> rows,
                  CachedAttentionCounters& counters);

// Numbers between rows of neighbouring sequences, heads and queries.
struct RowSteps {
  int64_t sequence;
  int64_t head;
  int64_t query;
};

// A call over all sequences of a cache: `heads` heads (a multiple of the cache's) with `queries` queries each
// in rows that are padded as the cache's are.
struct CachedProblem {
  const KeyValueCache& cache;
  CachedCall call;
  std::optional<int64_t> window;
  int64_t heads;
  int64_t queries;
  const float* query;
  RowSteps query_steps;
  float* output;
  RowSteps output_steps;
};

// Sequence by sequence and head by head; adds to `counters` and fills `supports`, if wanted, per row (b, h,
// m).
void attend_sequences(const CachedProblem& problem, std::vector<CachedSupport>* supports,
                      CachedAttentionCounters& counters);

// The functions of one instruction set. The capability must be one of machine_capabilities().
const DecodeFunctions& decode_functions(Capability capability);

}  // namespace giantrabbit::ops::cpu
