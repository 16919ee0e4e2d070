// Stages "refine" and "output". Marked keys in; their fp32 scores, the rows' exact thresholds over all keys
// seen so far, and in the end weights and the weighted sums of the values out. Invariant: after a pass a
// row's list holds every key seen so far whose score is above the row's bound, keys rising.
#pragma once

#include "ops/cpu/exact/threshold.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// The keys of the set bits, rising. Returns their number; writes up to 16 more.
inline int64_t collect_keys(const uint64_t* words, int64_t count, int64_t first_block, int32_t* keys) {
  int64_t found = 0;
  for (int64_t b = 0; b < count; ++b) {
    const int64_t first = (first_block + b) * exact::kBlockKeys;
    for (uint64_t word = words[b]; word != 0; word &= word - 1) {
      keys[found++] = static_cast<int32_t>(first + __builtin_ctzll(word));
    }
  }
  return found;
}

template <exact::Rule rule>
inline void raise_bound(const exact::QueryRows& rows, int64_t i, const float* scores, int64_t count) {
  const Threshold threshold = list_threshold<rule>(scores, count);
  rows.maximum[i] = threshold.maximum;
  rows.tau[i] = threshold.tau;
  rows.bound[i] = threshold.bound > rows.bound[i] ? threshold.bound : rows.bound[i];
}

// One row: what the pass marked goes in front of the list, whose keys are larger (passes go from the last
// keys to the first).
inline int64_t refine_row(exact::Rows keys, const exact::QueryRows& rows, const exact::Pass& pass, int64_t i,
                          const exact::Candidates& from, const exact::RowScratch& scratch) {
  const int64_t old = from.offsets[i + 1] - from.offsets[i];
  const int64_t found =
      collect_keys(pass.words + i * exact::kPassBlocks, pass.count, pass.first, scratch.keys);
  gathered_products(rows.queries + i * rows.width, keys, scratch.keys, found, rows.width, scratch.scores);
  copy_list(scratch.keys + found, from.keys + from.offsets[i], old);
  copy_list(scratch.scores + found, from.scores + from.offsets[i], old);
  if (found == 0) return old;
  if (rows.rule == exact::Rule::sparsemax) {
    raise_bound<exact::Rule::sparsemax>(rows, i, scratch.scores, found + old);
  } else {
    raise_bound<exact::Rule::entmax15>(rows, i, scratch.scores, found + old);
  }
  return found + old;
}

inline bool refine(exact::Rows keys, const exact::QueryRows& rows, const exact::Pass& pass,
                   const exact::Candidates& from, const exact::RowScratch& scratch,
                   const exact::Candidates& to, int64_t capacity) {
  to.offsets[0] = 0;
  for (int64_t i = 0; i < rows.rows; ++i) {
    const int64_t count = refine_row(keys, rows, pass, i, from, scratch);
    int64_t end = to.offsets[i];
    if (end + count + kLanes > capacity) return false;
    const Vec<float> bound = broadcast(rows.bound[i]);
    for (int64_t j = 0; j < count; j += kLanes) {
      const Vec<float> scores = load(scratch.scores + j);
      uint64_t bits = bits_above(scores, bound);
      if (j + kLanes > count) bits &= ~(kAllKeys << (count - j));
      compress(to.keys + end, load(scratch.keys + j), bits);
      end += compress(to.scores + end, scores, bits);
    }
    to.offsets[i + 1] = end;
  }
  return true;
}

// Weights of a row from its list; keys whose weight is 0 leave. Returns the size of the support.
inline int64_t row_weights(const exact::QueryRows& rows, int64_t i, const exact::Candidates& from,
                           const exact::RowScratch& scratch) {
  const int64_t begin = from.offsets[i];
  const int64_t count = from.offsets[i + 1] - begin;
  int64_t support = 0;
  for (int64_t j = 0; j < count; j += kLanes) {
    const Vec<float> relative = load(from.scores + begin + j) - rows.maximum[i];
    Vec<float> weights =
        rows.rule == exact::Rule::sparsemax ? relative - rows.tau[i] : relative * 0.5f - rows.tau[i];
    uint64_t bits = bits_above(weights, Vec<float>{});
    if (j + kLanes > count) bits &= ~(kAllKeys << (count - j));
    if (rows.rule == exact::Rule::entmax15) weights *= weights;
    compress(scratch.keys + support, load(from.keys + begin + j), bits);
    support += compress(scratch.scores + support, weights, bits);
  }
  return support;
}

inline int64_t output(exact::Rows values, const exact::QueryRows& rows, const exact::Candidates& from,
                      const exact::RowScratch& scratch, const exact::BlockOutput& to) {
  int64_t total = 0;
  for (int64_t i = 0; i < rows.rows; ++i) {
    const int64_t support = row_weights(rows, i, from, scratch);
    gathered_sum(values, scratch.keys, scratch.scores, support, to.width, to.output + i * to.row);
    if (to.keys != nullptr) {
      copy_list(to.keys + total, scratch.keys, support);
      copy_list(to.weights + total, scratch.scores, support);
    }
    to.counts[i] = support;
    total += support;
  }
  return total;
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
