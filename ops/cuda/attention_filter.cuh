// Which keys can matter to the rows of attention with sparsemax or entmax-1.5 weights: one pass over all
// scores on the tensor cores. In: codes (attention_codes.cuh). Out: of every row the keys of candidates,
// among them its support, or that the row is wide: its list overflowed, or its codes tell nothing. A warp has
// 32 queries and takes 32 keys at a step, from the last to the first; the keys of a stage come to shared
// memory while those before are worked on.
//
// By Note [Exact by bounds] (ops/cpu/exact/forward.cpp): the largest lower bound of a score less `reach` lies
// at or below every key with a weight, and so does the threshold that belongs to the lower bounds in the
// list, which is taken where a list is full. A key whose upper bound lies below is dropped. Lists may differ
// where devices round differently, supports do not.
#pragma once

#include <cuda_pipeline_primitives.h>

#include "ops/cuda/attention_codes.cuh"
#include "ops/cuda/attention_shrink.cuh"
#include "ops/cuda/attention_tile.cuh"
#include "ops/cuda/tensor_core.cuh"

namespace giantrabbit::ops::cuda {

constexpr int kFilterWarps = 4;
constexpr int kFilterThreads = kFilterWarps * kWarp;
constexpr int kWarpRows = 32;
constexpr int kLaneRows = 4;  // row k of a lane is 8 k + its quad, a quad being four lanes
constexpr int kQuads = 8;
constexpr int kStages = 2;
static_assert(kFilterWarps * kWarpRows == kCodedQueries);

template <int kWidth>
struct FilterShape {
  static constexpr int kSteps = kWidth <= 64 ? 4 : 2;  // of a stage
  static constexpr int kKeys = kSteps * kStepKeys;
  static constexpr int kPitch = kWidth + 8;  // rows of one column of matrices lie in different banks
  using Stage = __nv_bfloat16[kKeys * kPitch];
};

template <class Rule, int kWidth>
class Filter {
  using Shape = FilterShape<kWidth>;

 public:
  __device__ Filter(const AttentionProblem& problem, const AttentionCodes& codes, const FilterTile& tile,
                    const CandidateRows& candidates, __nv_bfloat16* stages)
      : problem_(problem), candidates_(candidates), tile_(tile), stages_(stages) {
    const int64_t key_head = tile.b * problem.key_heads + tile.h / (problem.heads / problem.key_heads);
    keys_ = codes.keys + key_head * codes.key_rows * kWidth;
    key_bounds_ = codes.key_bounds + key_head * (codes.key_rows / kStepKeys);
    const int64_t row = tile.head(problem) * codes.query_rows + own_query();
    seen_ = tile.visible_to(problem, own_query(), kWarpRows);
    shared_ = tile.visible_to_all(problem, own_query(), kWarpRows);
    load_queries(codes.queries + row * kWidth);
#pragma unroll
    for (int k = 0; k < kLaneRows; ++k) {
      const float2 bounds = codes.query_bounds[row + k * kQuads + quad()];
      rows_[k] = {bounds.x, bounds.y, -kInfinity<float>, 0, kFirstLimit};
      if (own_query() + k * kQuads + quad() >= problem.queries) rows_[k].make_wide();
    }
  }

  // The whole block comes here.
  __device__ void sweep() {
    constexpr int kKeys = Shape::kKeys;
    if (tile_.keys.begin >= tile_.keys.end) return;
    const int first = tile_.keys.begin / kKeys;
    const int last = (tile_.keys.end - 1) / kKeys;
    fetch(last, first);
    for (int stage = last; stage >= first; --stage) {
      __pipeline_wait_prior(0);
      __syncthreads();  // the stage is there, and everybody has left the one that is fetched into next
      fetch(stage - 1, first);
      for (int step = Shape::kSteps - 1; step >= 0; --step)
        take(stage * kKeys + step * kStepKeys, stage_of(stage) + step * kStepKeys * Shape::kPitch);
    }
    __syncthreads();
  }

  __device__ void write_counts() const {
#pragma unroll
    for (int k = 0; k < kLaneRows; ++k) {
      const int row = k * kQuads + quad();
      if (own_query() + row < problem_.queries) {
        candidates_.counts[(own_row() + row) * kParts + own_part()] =
            rows_[k].wide() ? kWideRow : static_cast<unsigned char>(rows_[k].end / kParts);
      }
    }
  }

 private:
  static constexpr int kProducts = kWidth / 16;  // of 16 columns each
  struct Scores {
    MatrixSums sums[2][4];  // of 16 rows and 8 keys each

    __device__ float& at(int k, int i) { return sums[k / 2][i / 2].values[k % 2 * 2 + i % 2]; }
  };
  static constexpr int kLaneKeys =
      8;  // of a step: key i of a lane is 8 (i / 2) + 2 (lane in the quad) + i % 2

  __device__ int64_t own_query() const { return tile_.first + warp_index() * kWarpRows; }
  __device__ int64_t own_row() const { return tile_.head(problem_) * problem_.queries + own_query(); }
  __device__ RowCandidates list(int row) const {
    const int64_t of_block = blockIdx.x * kCodedQueries + warp_index() * kWarpRows + row;
    return {candidates_.keys + (own_row() + row) * kListCapacity,
            candidates_.lower + of_block * kListCapacity};
  }

  __device__ static int quad() { return lane_index() / 4; }
  __device__ static int own_part() { return lane_index() % kParts; }
  __device__ static int key_of(int i) { return i / 2 * 8 + own_part() * 2 + i % 2; }

  __device__ __nv_bfloat16* stage_of(int stage) const {
    return stages_ + stage % kStages * Shape::kKeys * Shape::kPitch;
  }

  __device__ void load_queries(const __nv_bfloat16* codes) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int part = 0; part < kProducts; ++part) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int row = half * 16 + i % 2 * 8 + quad();
          const int column = part * 16 + i / 2 * 8 + lane_index() % 4 * 2;
          queries_[half][part].pairs[i] = *reinterpret_cast<const uint32_t*>(codes + row * kWidth + column);
        }
      }
    }
  }

  // Starts to copy a stage, 16 bytes at a time, if there is one.
  __device__ void fetch(int stage, int first) {
    constexpr int kPieces = kWidth / 8;  // of a row
    constexpr int kRows = kFilterThreads / kPieces;
    if (stage >= first) {
      const int row = static_cast<int>(threadIdx.x) / kPieces;
      const int column = static_cast<int>(threadIdx.x) % kPieces * 8;
      const __nv_bfloat16* const from =
          keys_ + (static_cast<int64_t>(stage) * Shape::kKeys + row) * kWidth + column;
      __nv_bfloat16* const to = stage_of(stage) + row * Shape::kPitch + column;
#pragma unroll
      for (int more = 0; more < Shape::kKeys; more += kRows)
        __pipeline_memcpy_async(to + more * Shape::kPitch, from + more * kWidth, 16);
      __pipeline_commit();
    }
  }

  __device__ Scores scores_of(const __nv_bfloat16* keys) const {
    Scores scores{};
    const int lane = lane_index();
    const __nv_bfloat16* const own = keys + (lane / 16 * 8 + lane % 8) * Shape::kPitch + lane / 8 % 2 * 8;
#pragma unroll
    for (int part = 0; part < kProducts; ++part) {
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        RightMatrix columns[2];
        load_right_matrices(columns, own + pair * 16 * Shape::kPitch + part * 16);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          add_product(scores.sums[half][2 * pair], queries_[half][part], columns[0]);
          add_product(scores.sums[half][2 * pair + 1], queries_[half][part], columns[1]);
        }
      }
    }
    return scores;
  }

  __device__ void hide(Scores& scores, int first) const {
#pragma unroll
    for (int k = 0; k < kLaneRows; ++k) {
      const KeyRange seen = visible_keys(problem_, tile_.b, own_query() + k * kQuads + quad());
#pragma unroll
      for (int i = 0; i < kLaneKeys; ++i) {
        const int key = first + key_of(i);
        if (key < seen.begin || key >= seen.end) scores.at(k, i) = -kInfinity<float>;
      }
    }
  }

  // One step: the keys from `first` on.
  __device__ void take(int first, const __nv_bfloat16* keys) {
    if (first >= seen_.end || first + kStepKeys <= seen_.begin) return;
    const float2 key_bounds = key_bounds_[first / kStepKeys];
    Scores scores = scores_of(keys);
    if (first < shared_.begin || first + kStepKeys > shared_.end) hide(scores, first);
    float largest[kLaneRows];
    bool any = false;
#pragma unroll
    for (int k = 0; k < kLaneRows; ++k) {
      largest[k] = scores.at(k, 0);
#pragma unroll
      for (int i = 1; i < kLaneKeys; ++i) largest[k] = fmaxf(largest[k], scores.at(k, i));
      any |= !(largest[k] <= rows_[k].bound - rows_[k].error_at(key_bounds));  // NaN: the error tells nothing
    }
    if (__any_sync(kAllLanes, any)) collect(scores, largest, key_bounds, first);
  }

  // Takes the candidates of the step into the lists.
  __device__ void collect(Scores& scores, const float (&largest)[kLaneRows], float2 key_bounds, int first) {
    float cuts[kLaneRows];  // scores up to here are no candidates
    raise(largest, key_bounds);
#pragma unroll
    for (int k = 0; k < kLaneRows; ++k) cuts[k] = rows_[k].bound - rows_[k].error_at(key_bounds);
#pragma unroll
    for (int k = 0; k < kLaneRows; ++k) {
      if (__any_sync(kAllLanes, largest[k] > cuts[k]) == 0) continue;
      const float error = rows_[k].error_at(key_bounds);
      const RowCandidates to = list(k * kQuads + quad());
      int at = rows_[k].end + own_part();
#pragma unroll
      for (int i = 0; i < kLaneKeys; ++i) {
        if (!(scores.at(k, i) > cuts[k])) continue;
        to.lower[at] = scores.at(k, i) - error;
        to.keys[at] = first + key_of(i);
        at += kParts;
      }
      rows_[k].end = at - own_part();
    }
    make_room();
  }

  __device__ void raise(const float (&largest)[kLaneRows], float2 key_bounds) {
    bool rises = false;
#pragma unroll
    for (int k = 0; k < kLaneRows; ++k) {
      const float error = rows_[k].error_at(key_bounds);
      if (!(error < kMostError)) rows_[k].make_wide();
      rises |= largest[k] - error - kReach<Rule> > rows_[k].bound;
    }
    if (__any_sync(kAllLanes, rises) == 0) return;
#pragma unroll
    for (int k = 0; k < kLaneRows; ++k) {
      float best = largest[k];
      best = fmaxf(best, __shfl_xor_sync(kAllLanes, best, 1));
      best = fmaxf(best, __shfl_xor_sync(kAllLanes, best, 2));
      best -= rows_[k].error_at(key_bounds);
      rows_[k].bound = fmaxf(rows_[k].bound, lowered(best - kReach<Rule>, best));
    }
  }

  // Room for the next step: 8 entries in every part.
  __device__ void make_room() {
    unsigned full[kLaneRows];  // lanes
#pragma unroll
    for (int k = 0; k < kLaneRows; ++k) full[k] = __ballot_sync(kAllLanes, rows_[k].end > rows_[k].limit);
    while ((full[0] | full[1] | full[2] | full[3]) != 0) {
      int next = kLaneRows - 1;
#pragma unroll
      for (int k = kLaneRows - 2; k >= 0; --k) next = full[k] != 0 ? k : next;
      unsigned lanes = 0;
#pragma unroll
      for (int k = 0; k < kLaneRows; ++k) lanes = next == k ? full[k] : lanes;
      const int of = (__ffs(static_cast<int>(lanes)) - 1) / kParts;
      FilteredRow row = of_quad(next, of);
      shrink<Rule>(list(next * kQuads + of), key_bounds_, row);
#pragma unroll
      for (int k = 0; k < kLaneRows; ++k) {
        if (next != k) continue;
        full[k] &= ~(15U << (kParts * of));
        if (quad() == of) rows_[k] = row;
      }
    }
  }

  // What the lanes of a quad know of row `wanted`, in all lanes: lane l has that of part l % 4. No row is
  // chosen by an index at run time: that would put all into memory.
  __device__ FilteredRow of_quad(int wanted, int quad) const {
    const int lane = quad * kParts + own_part();
    FilteredRow result{};
#pragma unroll
    for (int k = 0; k < kLaneRows; ++k) {
      const FilteredRow& own = rows_[k];
      const FilteredRow other{__shfl_sync(kAllLanes, own.error, lane),
                              __shfl_sync(kAllLanes, own.length, lane),
                              __shfl_sync(kAllLanes, own.bound, lane), __shfl_sync(kAllLanes, own.end, lane),
                              __shfl_sync(kAllLanes, own.limit, lane)};
      if (wanted == k) result = other;
    }
    return result;
  }

  const AttentionProblem& problem_;
  const CandidateRows& candidates_;
  const FilterTile& tile_;
  __nv_bfloat16* stages_;
  const __nv_bfloat16* keys_;
  const float2* key_bounds_;
  KeyRange seen_;    // by any query of the warp
  KeyRange shared_;  // by all of them
  LeftMatrix queries_[2][kProducts];
  FilteredRow rows_[kLaneRows];
};

}  // namespace giantrabbit::ops::cuda
