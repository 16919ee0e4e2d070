// Stage "output". The rows' lists and thresholds over all keys in; weights and the weighted sums of the
// values out. Invariant: of a row's list exactly the keys with a weight above 0 are left, keys rising.
#pragma once

#include "ops/cpu/exact/vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

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
  constexpr int64_t kAhead = 2;
  int64_t total = 0;
  for (int64_t i = 0; i < rows.rows; ++i) {
    if (i + kAhead < rows.rows) {
      const int64_t begin = from.offsets[i + kAhead];
      fetch_rows(values, from.keys + begin, from.offsets[i + kAhead + 1] - begin, to.width);
      fetch_row(to.output + (i + kAhead) * to.row, to.width);
    }
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
