// Stages of the backward pass: the score gradients of queries over their supports, and the gradients of keys
// over the queries that use them. Both in a fixed order, without a shared sum: bits do not depend on the
// number of threads.
#pragma once

#include "ops/cpu/exact/vectors.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// Sparsemax: g - mean(g) over the support. Entmax-1.5: r (g - sum(r g) / sum(r)) with r the root of the
// weight. `g` has room for a whole vector behind the last entry.
template <exact::Rule rule>
inline void normaliser_gradient(const float* weights, int64_t count, float scale, float* g) {
  const auto root = [&](int64_t j) {  // 0 behind the last entry
    const Vec<float> weight =
        j + kLanes <= count ? load(weights + j) : load_part(weights + j, count - j, 0.0f);
    if constexpr (rule == exact::Rule::sparsemax) return weight > 0.0f ? broadcast(1.0f) : Vec<float>{};
    return square_root(weight);
  };
  Vec<float> total{};
  Vec<float> members{};
  for (int64_t j = 0; j < count; j += kLanes) {
    const Vec<float> r = root(j);
    total += r > 0.0f ? r * load(g + j) : Vec<float>{};
    members += r;
  }
  const float mean = lane_total(total) / lane_total(members);
  for (int64_t j = 0; j < count; j += kLanes) store(g + j, scale * root(j) * (load(g + j) - mean));
}

constexpr int64_t kStretch = 64;  // rows that go through tiles of keys together

// Calls run(row, first entry, number of entries) for rows first .. last - 1, at most kStretch, tile by tile.
template <class Run>
inline void for_each_tile(const exact::RowGradients& of, int64_t first, int64_t last, const Run& run) {
  int64_t cursors[kStretch];
  copy_list(cursors, of.offsets + first, last - first);
  for (int64_t tile = 0; tile < of.key_count; tile += of.tile_keys) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t begin = cursors[i - first];
      int64_t end = begin;
      while (end < of.offsets[i + 1] && of.keys[end] < tile + of.tile_keys) ++end;
      if (end > begin) run(i, begin, end - begin);
      cursors[i - first] = end;
    }
  }
}

template <exact::Rule rule>
inline void stretch_gradients(exact::Rows keys, int64_t width, exact::Rows values, int64_t value_width,
                              const exact::RowGradients& of, int64_t first, int64_t last) {
  for_each_tile(of, first, last, [&](int64_t i, int64_t entry, int64_t count) {
    const float* grad = of.output_grads.data + i * of.output_grads.row;
    const int64_t fours = count / 4 * 4;
    gathered_products(grad, values, of.keys + entry, fours, value_width, of.score_grads + entry);
    float rest[4];
    gathered_products(grad, values, of.keys + entry + fours, count - fours, value_width, rest);
    copy_list(of.score_grads + entry + fours, rest, count - fours);
  });
  for (int64_t i = first; i < last; ++i) {
    const int64_t entry = of.offsets[i];
    const int64_t count = of.offsets[i + 1] - entry;
    copy_list(of.scratch, of.score_grads + entry, count);
    normaliser_gradient<rule>(of.weights + entry, count, of.scale, of.scratch);
    copy_list(of.score_grads + entry, of.scratch, count);
  }
  if (of.query_grads.data == nullptr) return;
  for (int64_t i = first; i < last; ++i) clear_row(of.query_grads.data + i * of.query_grads.row, width);
  for_each_tile(of, first, last, [&](int64_t i, int64_t entry, int64_t count) {
    gathered_sum<true>(keys, of.keys + entry, of.score_grads + entry, count, width,
                       of.query_grads.data + i * of.query_grads.row);
  });
}

// All entries of one row at once.
template <exact::Rule rule>
inline void row_gradient(exact::Rows keys, int64_t width, exact::Rows values, int64_t value_width,
                         const exact::RowGradients& of, int64_t i) {
  const int64_t first = of.offsets[i];
  const int64_t count = of.offsets[i + 1] - first;
  gathered_products(of.output_grads.data + i * of.output_grads.row, values, of.keys + first, count,
                    value_width, of.scratch);
  normaliser_gradient<rule>(of.weights + first, count, of.scale, of.scratch);
  copy_list(of.score_grads + first, of.scratch, count);
  if (of.query_grads.data != nullptr) {
    gathered_sum(keys, of.keys + first, of.scratch, count, width,
                 of.query_grads.data + i * of.query_grads.row);
  }
}

template <exact::Rule rule>
inline void row_gradients_of(exact::Rows keys, int64_t width, exact::Rows values, int64_t value_width,
                             const exact::RowGradients& of) {
  const bool tiled = of.tile_keys < of.key_count;
  for (int64_t i = 0; !tiled && i < of.rows; ++i) {
    row_gradient<rule>(keys, width, values, value_width, of, i);
  }
  for (int64_t first = 0; tiled && first < of.rows; first += kStretch) {
    const int64_t last = first + kStretch < of.rows ? first + kStretch : of.rows;
    stretch_gradients<rule>(keys, width, values, value_width, of, first, last);
  }
}

inline void row_gradients(exact::Rows keys, int64_t width, exact::Rows values, int64_t value_width,
                          const exact::RowGradients& of) {
  if (of.rule == exact::Rule::sparsemax) {
    row_gradients_of<exact::Rule::sparsemax>(keys, width, values, value_width, of);
  } else {
    row_gradients_of<exact::Rule::entmax15>(keys, width, values, value_width, of);
  }
}

template <bool add>
inline void add_key_gradients(exact::Rows queries, int64_t width, exact::Rows output_grads,
                              int64_t value_width, const exact::KeyGradients& of) {
  for (int64_t j = 0; j < of.keys; ++j) {
    const int64_t first = of.offsets[j];
    const int64_t count = of.offsets[j + 1] - first;
    if (of.key_grads.data != nullptr) {
      gathered_sum<add>(queries, of.rows + first, of.score_grads + first, count, width,
                        of.key_grads.data + j * of.key_grads.row);
    }
    if (of.value_grads.data != nullptr) {
      gathered_sum<add>(output_grads, of.rows + first, of.weights + first, count, value_width,
                        of.value_grads.data + j * of.value_grads.row);
    }
  }
}

inline void key_gradients(exact::Rows queries, int64_t width, exact::Rows output_grads, int64_t value_width,
                          const exact::KeyGradients& of) {
  if (of.add) {
    add_key_gradients<true>(queries, width, output_grads, value_width, of);
  } else {
    add_key_gradients<false>(queries, width, output_grads, value_width, of);
  }
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
