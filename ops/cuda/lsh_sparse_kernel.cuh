// lsh_attention with sparsemax or entmax-1.5 weights and its gradient. A query's scores of all rounds lie
// next to one another, a key that comes again -inf, so that thresholds are those of any row (row_rules.cuh,
// long_row.cuh); only keys with a weight are read after that, and the gradient visits them alone. Definition
// and contract: ops/lsh_attention.h.
#pragma once

#include "ops/cuda/long_row.cuh"
#include "ops/cuda/lsh_chunks.cuh"

namespace giantrabbit::ops::cuda {

// The chunk in which every round puts a position, of all rounds in their circle.
template <class Number>
__global__ void __launch_bounds__(kBlockThreads)
    lsh_chunk_numbers(LshProblem problem, LshCircle circle, Number* numbers) {
  const int64_t i = int64_t{blockIdx.x} * kBlockThreads + threadIdx.x;
  const int64_t row = i / problem.length;  // of a head and a round
  if (row >= problem.batch * problem.heads * problem.rounds) return;
  numbers[row * problem.length + problem.order[i]] =
      static_cast<Number>(row % problem.rounds * circle.per_round + i % problem.length / circle.chunk_length);
}

// Numbers of chunks of one head.
struct LshNumbers {
  const LshCircle& circle;
  const int32_t* numbers;  // [rounds, length]
  int64_t length;

  __device__ int chunk(int round, int position) const { return numbers[round * length + position]; }

  // Whether the query saw the key before part `part` of the window in round `round`: in an earlier round, or
  // earlier in that window. Only windows across the seam of two rounds reach chunks of another round.
  __device__ bool saw_before(int round, int part, int query, int key) const {
    for (int earlier = 0; earlier <= round; ++earlier) {
      const int own = chunk(earlier, query);
      const int limit = earlier == round ? part : circle.window;
      const int in_round = own - earlier * circle.per_round;
      const bool crosses =
          in_round < circle.before || in_round + circle.window - circle.before > circle.per_round;
      if (!crosses) {
        if (circle.part(own, chunk(earlier, key)) < limit) return true;
        continue;
      }
      for (int other = 0; other < circle.total / circle.per_round; ++other) {
        if (circle.part(own, chunk(other, key)) < limit) return true;
      }
    }
    return false;
  }
};

__device__ inline LshNumbers numbers_of_head(const LshProblem& problem, const LshCircle& circle,
                                             const int32_t* numbers, int64_t head) {
  return {circle, numbers + head * problem.rounds * problem.length, problem.length};
}

template <class Stored>
__global__ void __launch_bounds__(kBlockThreads, kLshBlocks)
    lsh_scores(LshProblem problem, LshCircle circle, LshHeads heads, const Stored* query, const Stored* key,
               const int32_t* numbers, Math<Stored>* scores) {
  using M = Math<Stored>;
  auto& memory = *reinterpret_cast<LshTileMemory<M>*>(dynamic_shared_memory());
  const LshPlace place = lsh_place(circle, circle.total);
  const int64_t of_head = heads.first + place.head;
  const LshHead head(problem, circle, of_head);
  LshBlock<M> block(head, place.chunk, place.first_slot, memory);
  const auto queries = rows_of_head(query, problem.query, problem.width, problem, of_head);
  const auto keys = rows_of_head(key, problem.key, problem.width, problem, of_head);
  const LshNumbers of_chunks = numbers_of_head(problem, circle, numbers, of_head);
  const M scale = static_cast<M>(problem.scale);
  const int round = place.chunk / circle.per_round;
  const int64_t places = int64_t{circle.window} * circle.chunk_length;
  M* const row = scores + ((place.head * problem.length + block.own()) * problem.rounds + round) * places;
  block.for_each_place([&](int part) { return circle.seen(block.chunk(), part); },
                       [&](int other, int64_t at) {
                         const M score = block.product(queries, keys) * scale;
                         if (block.own() == kNobody || at >= places) return;
                         const bool seen =
                             head.sees(block.own(), other) &&
                             !of_chunks.saw_before(round, static_cast<int>(at / circle.chunk_length),
                                                   block.own(), other);
                         row[at] = seen ? score : -kInfinity<M>;
                       });
}

// A row of scores, for one warp.
template <class M>
struct LshScoreRow {
  static constexpr bool kFew = false;
  const M* scores;
  int length;

  template <class Function>
  __device__ void for_each(Function function) const {
    for (int at = lane_index(); at < length; at += kWarp) function(scores[at]);
  }

  // Calls function(place, weight) for every place, one per lane; 0 where there is none. The warp comes here.
  template <class Rule, class Function>
  __device__ void for_each_weight(const RowThreshold<M>& threshold, Function function) const {
    for (int first = 0; first < length; first += kWarp) {
      const int at = first + lane_index();
      const M score = at < length ? scores[at] : -kInfinity<M>;
      function(at, score == -kInfinity<M> ? M(0) : weight_of<Rule>(score, threshold));
    }
  }
};

// The threshold of a row, for its warp.
template <class Rule, class M>
__device__ RowThreshold<M> threshold_of(const LshScoreRow<M>& row, CandidateList<M>& list) {
  Collector<Rule, M> collector(list);
  for (int first = 0; first < row.length; first += kWarp) {
    const int at = first + lane_index();
    collector.add(at < row.length ? row.scores[at] : -kInfinity<M>, at);
  }
  __syncwarp();
  if (WarpGroup().any(collector.undefined())) return {RowKind::undefined, kNan<M>, kNan<double>};
  const M maximum = collector.maximum();
  if (maximum == -kInfinity<M>) return {RowKind::empty, maximum, 0.0};
  if (collector.wide()) return {RowKind::usual, maximum, find_tau<Rule>(WarpGroup(), row, maximum)};
  const int count = collector.count();
  const ListEntries<M> entries{&list, &count, 1};
  return {RowKind::usual, maximum, find_tau<Rule>(WarpGroup(), entries, maximum)};
}

// One query of a launch over some heads, a warp per query.
struct LshQuery {
  int64_t row;     // of all heads
  int64_t of_row;  // of the scores
  int64_t head;
  int position;

  __device__ LshQuery(const LshProblem& problem, const LshHeads& heads)
      : of_row(int64_t{blockIdx.x} * kBlockWarps + warp_index()) {
    row = heads.first * problem.length + of_row;
    head = row / problem.length;
    position = static_cast<int>(row % problem.length);
  }
  __device__ bool exists(const LshProblem& problem, const LshHeads& heads) const {
    return of_row < heads.count * problem.length;
  }
};

// The key at a place of a query's row of scores.
__device__ inline int key_at(const LshHead& head, const LshNumbers& numbers, int query, int at) {
  const int length = head.circle.chunk_length;
  const int places = head.circle.window * length;
  const int chunk = numbers.chunk(at / places, query);
  return head.position(head.circle.seen(chunk, at % places / length), at % length);
}

template <class Rule, class Stored>
__global__ void __launch_bounds__(kBlockThreads, kLshBlocks)
    lsh_sparse_rows(LshProblem problem, LshCircle circle, LshHeads heads, int row_length, const Stored* value,
                    const int32_t* numbers, const Math<Stored>* scores, Math<Stored>* output,
                    Math<Stored>* maxima, double* taus, int64_t* counts) {
  using M = Math<Stored>;
  auto* const lists = reinterpret_cast<CandidateList<M>*>(dynamic_shared_memory());
  const LshQuery query(problem, heads);
  if (!query.exists(problem, heads)) return;
  const LshHead head(problem, circle, query.head);
  if (!head.exists(query.position)) {
    if (counts != nullptr && lane_index() == 0) counts[query.row] = 0;
    return;
  }
  const LshNumbers of_chunks = numbers_of_head(problem, circle, numbers, query.head);
  const auto values = rows_of_head(value, problem.value, problem.value_width, problem, query.head);
  const LshScoreRow<M> row{scores + query.of_row * row_length, row_length};
  const RowThreshold<M> threshold = threshold_of<Rule>(row, lists[warp_index()]);
  const bool alone = threshold.kind == RowKind::empty && problem.exclude_self;
  M* const result = output + query.row * values.width;
  for (int64_t first = 0; first < values.width; first += kColumnsPerPass) {
    ColumnSums<M> columns{first};
    if (alone) columns.add(values.row_at(query.position), values.width, M(1));
    if (threshold.kind == RowKind::usual) {
      row.template for_each_weight<Rule>(threshold, [&](int at, M weight) {
        const int key = weight != M(0) ? key_at(head, of_chunks, query.position, at) : kNobody;
        add_lanes(columns, values, key, weight);
      });
    }
    columns.for_each(values.width, [&](int64_t column, M sum) {
      result[column] = threshold.kind == RowKind::undefined ? kNan<M> : sum;
    });
  }
  if (counts == nullptr) return;
  int count = 0;
  row.template for_each_weight<Rule>(threshold, [&](int, M weight) { count += weight != M(0) ? 1 : 0; });
  count = WarpGroup().sum(count);
  if (lane_index() != 0) return;
  counts[query.row] = alone ? 1 : count;
  maxima[query.row] = threshold.maximum;
  taus[query.row] = threshold.tau;
}

template <class M>
__device__ RowThreshold<M> stored_threshold(M maximum, double tau) {
  const RowKind kind = tau != tau                 ? RowKind::undefined
                       : maximum == -kInfinity<M> ? RowKind::empty
                                                  : RowKind::usual;
  return {kind, maximum, tau};
}

template <class Rule, class M>
__global__ void __launch_bounds__(kBlockThreads)
    lsh_support(LshProblem problem, LshCircle circle, LshHeads heads, int row_length, const int32_t* numbers,
                const M* scores, const M* maxima, const double* taus, const int64_t* offsets, int64_t* keys,
                int64_t* queries, M* weights) {
  const LshQuery query(problem, heads);
  if (!query.exists(problem, heads)) return;
  const LshHead head(problem, circle, query.head);
  if (!head.exists(query.position)) return;
  const LshNumbers of_chunks = numbers_of_head(problem, circle, numbers, query.head);
  const RowThreshold<M> threshold = stored_threshold(maxima[query.row], taus[query.row]);
  const int64_t first_row = query.head * problem.length;
  int64_t at_entry = offsets[query.row];
  const auto put_entry = [&](int64_t entry, int key, M weight) {
    keys[entry] = first_row + key;
    queries[entry] = query.row;
    weights[entry] = weight;
  };
  if (threshold.kind == RowKind::empty) {
    if (problem.exclude_self && lane_index() == 0) put_entry(at_entry, query.position, M(1));
    return;
  }
  const LshScoreRow<M> row{scores + query.of_row * row_length, row_length};
  row.template for_each_weight<Rule>(threshold, [&](int at, M weight) {
    const unsigned keeping = __ballot_sync(kAllLanes, weight != M(0));
    if (weight != M(0)) {
      put_entry(at_entry + __popc(keeping & ((1U << lane_index()) - 1)),
                key_at(head, of_chunks, query.position, at), weight);
    }
    at_entry += __popc(keeping);
  });
}

}  // namespace giantrabbit::ops::cuda
