// Attention with sparsemax or entmax-1.5 weights from lists of candidates (attention_filter.cuh): candidates
// are scored exactly, then threshold, weights and the sum of values follow as in attention_kernel.cuh. Out:
// the result, what is kept for the gradient, and which rows are left over because they are wide. One warp per
// query.
#pragma once

#include "ops/cuda/attention_filter.cuh"
#include "ops/cuda/attention_kernel.cuh"

namespace giantrabbit::ops::cuda {

// Neighbouring numbers that are loaded together.
template <class Stored>
struct alignas(16) Piece {
  static constexpr int kNumbers = 16 / sizeof(Stored);
  Stored numbers[kNumbers];
};

template <class Stored>
__device__ bool has_pieces(const HeadRows<Stored>& rows) {
  return reinterpret_cast<uintptr_t>(rows.data) % sizeof(Piece<Stored>) == 0 &&
         rows.row % Piece<Stored>::kNumbers == 0 && rows.width % Piece<Stored>::kNumbers == 0;
}

// Product of two rows by one lane, summed in the order of the columns as sweep_scores() does: the same bits.
template <class Stored>
__device__ float lane_product(const Stored* a, const Stored* b, int64_t width, bool in_pieces) {
  float sum = 0.0F;
  if (in_pieces) {
#pragma unroll 4
    for (int64_t i = 0; i < width / Piece<Stored>::kNumbers; ++i) {
      const Piece<Stored> left = reinterpret_cast<const Piece<Stored>*>(a)[i];
      const Piece<Stored> right = reinterpret_cast<const Piece<Stored>*>(b)[i];
#pragma unroll
      for (int n = 0; n < Piece<Stored>::kNumbers; ++n)
        sum = multiply_add(widened(left.numbers[n]), widened(right.numbers[n]), sum);
    }
    return sum;
  }
  for (int64_t column = 0; column < width; ++column)
    sum = multiply_add(widened(a[column]), widened(b[column]), sum);
  return sum;
}

// The list of a row, which may be wide.
struct RowList {
  const int32_t* keys;
  int end;  // of the part that the lane reads
  bool wide;

  __device__ RowList(const CandidateRows& rows, int64_t row) : keys(rows.keys + row * kListCapacity) {
    const unsigned char count = rows.counts[row * kParts + lane_index() % kParts];
    wide = count == kWideRow;
    end = wide ? 0 : count * kParts;
  }
};

// Exact scores of the candidates into the list; returns how many there are, the largest score, and whether
// any is NaN or infinite (codes are of scaled queries, products overflow before they are scaled).
template <class Stored>
__device__ int score_candidates(const QueryBlock<Stored>& block, const RowList& row,
                                CandidateList<float>& list, float& largest, bool& undefined) {
  const bool in_pieces = has_pieces(block.queries) && has_pieces(block.keys);
  const int64_t query = block.own_query();
  int count = 0;
  for (int first = 0; __any_sync(kAllLanes, first < row.end); first += kWarp) {
    const int i = first + lane_index();
    const bool used = i < row.end;
    const unsigned lanes = __ballot_sync(kAllLanes, used);
    if (used) {
      const int key = row.keys[i];
      const int at = count + __popc(lanes & ((1U << lane_index()) - 1));
      const float product =
          lane_product(block.queries.at(query), block.keys.at(key), block.keys.width, in_pieces);
      const float score = score_of(block.problem, block.b, block.h, query, key, product);
      list.places[at] = key;
      list.values[at] = score;
      largest = fmaxf(largest, score);
      undefined |= !(fabsf(score) < kInfinity<float>);
    }
    count += __popc(lanes);
  }
  largest = WarpGroup().largest(largest);
  undefined = WarpGroup().any(undefined);
  return count;
}

struct RefineMemory {
  CandidateList<float> lists[kBlockWarps];
  unsigned char parts[BlockGroup::kPartBytes];
};

constexpr int kRefineBlocks = 3;  // per multiprocessor: left alone, ptxas aims at fewer registers and spills

template <class Rule, class Stored>
__global__ void __launch_bounds__(kBlockThreads, kRefineBlocks)
    refine_rows(AttentionProblem problem, CandidateRows rows, const Stored* query, const Stored* key,
                const Stored* value, Stored* result, KeptRows kept, unsigned char* left_over) {
  auto& memory = *reinterpret_cast<RefineMemory*>(dynamic_shared_memory());
  const QueryBlock<Stored> block = own_query_block<Stored>(problem, query, key);
  const RowList own(rows, block.exists() ? block.own_row() : 0);
  CandidateList<float>& list = memory.lists[warp_index()];
  RowState<Rule, float> state{-kInfinity<float>, 0.0};
  bool undefined = false;
  int support = 0;
  if (block.exists() && !own.wide) {
    const ResultRow<Stored> to = own_result_row(block, value, result);
    const int count = score_candidates(block, own, list, state.maximum, undefined);
    if (count == 0) {
      fill_result(to, 0.0F);
    } else if (!undefined) {
      support = sum_by_list<Rule>(list, count, state, to);
    }
  }
  const bool known = block.exists() && !own.wide && !undefined;
  if (block.exists() && lane_index() == 0) left_over[block.own_row()] = known ? 0 : 1;
  if (kept.states == nullptr) return;
  const bool has_entries = support > 0 && support <= kept.capacity;
  keep_wide_block(kept, BlockGroup{memory.parts}, support > 0 && !has_entries, false);
  if (!known) return;
  keep_row(kept, block.own_row(), state, support, has_entries);
  if (has_entries) keep_entries(list, support, block.own_row(), kept);
}

}  // namespace giantrabbit::ops::cuda
