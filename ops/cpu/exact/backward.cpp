// Backward of exact sparse attention, over the support only. Rows first: the gradient of each score in the
// support and that of the query. Then the supports of a head are transposed by a counting sort and every key
// sums over the queries that use it, in their order. Long supports go through both in tiles of queries and
// keys that stay in the caches. Each number is written by one thread in a fixed order: same bits for any
// number of threads. Blocks that the forward pass computed densely are added at the end.
#include <algorithm>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include "ops/cpu/attention_dense.h"
#include "ops/cpu/exact/block.h"
#include "ops/cpu/exact/forward.h"
#include "ops/cpu/exact/tiles.h"
#include "ops/cpu/exact/transposed_support.h"

namespace giantrabbit::ops::cpu {
namespace {

// Rows of a head side by side. Rows that lie far apart would use a part of the caches' sets only.
class PackedRows {
 public:
  // The same rows as in the call before are there already.
  exact::Rows pack(exact::Rows from, int64_t rows, int64_t width) {
    if (from.row == width) return from;
    if (from.data != packed_from_) {
      memory_.clear();
      packed_ = memory_.array<float>(rows * width);
      for (int64_t i = 0; i < rows; ++i) std::copy_n(from.data + i * from.row, width, packed_ + i * width);
      packed_from_ = from.data;
    }
    return {packed_, width};
  }

 private:
  exact::ScratchMemory memory_;
  float* packed_ = nullptr;
  const float* packed_from_ = nullptr;
};

// Of one thread, for all heads that it works on.
struct Scratch {
  std::vector<float> row;
  std::vector<int64_t> cursors;
  exact::TransposedSupport transposed;
  PackedRows keys;
  PackedRows values;
  PackedRows queries;
  PackedRows output_grads;
};

class ExactBackward {
 public:
  ExactBackward(const at::Tensor& grad, const AttentionCall& call, const SparseSupport& support,
                const Targets<float>& targets)
      : problem_(make_problem<float>(call)),
        grad_(heads_view<const float>(grad)),
        support_(support),
        targets_(targets),
        blocks_(support.wide_blocks.size(2)),
        offsets_(support.row_offsets.const_data_ptr<int64_t>()),
        keys_(support.key_indices.const_data_ptr<int32_t>()),
        weights_(support.weights.const_data_ptr<float>()) {}

  void run() {
    if (targets_.query.data != nullptr || targets_.key.data != nullptr) {
      score_grad_tensor_ = at::empty({support_.key_indices.size(0)}, at::kFloat);
      score_grads_ = score_grad_tensor_.mutable_data_ptr<float>();
    }
    if (key_heads() % at::get_num_threads() == 0) {
      run_heads();
    } else {
      run_parts();
    }
    run_wide();
  }

 private:
  exact::Rule rule() const {
    return problem_.normalizer == Normalizer::sparsemax ? exact::Rule::sparsemax : exact::Rule::entmax15;
  }
  exact::Rows rows(const HeadsView<const float>& view, int64_t batch, int64_t head, int64_t first) const {
    return {view.at(batch, head, first), view.row};
  }
  static exact::TargetRows targets(const HeadsView<float>& view, int64_t batch, int64_t head, int64_t first) {
    return {view.data != nullptr ? view.at(batch, head, first) : nullptr, view.row};
  }

  int64_t key_heads() const { return problem_.batch * problem_.key_heads; }

  // As many heads for every thread: they wait for one another once.
  void run_heads() {
    at::parallel_for(0, key_heads(), 1, [&](int64_t begin, int64_t end) {
      Scratch scratch;
      for (int64_t unit = begin; unit < end; ++unit) {
        for (int64_t i = 0; score_grads_ != nullptr && i < problem_.group(); ++i) {
          run_rows(unit * problem_.group() + i, {0, problem_.queries}, scratch);
        }
        run_keys(unit, {0, problem_.keys}, scratch);
      }
    });
  }

  // Else cut by heads and stretches of their rows, then by parts of a head's keys, one for every thread.
  void run_parts() {
    constexpr int64_t kStretch = 256;
    const int64_t stretches = (problem_.queries + kStretch - 1) / kStretch;
    const int64_t tasks = score_grads_ != nullptr ? problem_.batch * problem_.heads * stretches : 0;
    at::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
      Scratch scratch;
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task % stretches * kStretch;
        run_rows(task / stretches, {first, std::min(first + kStretch, problem_.queries)}, scratch);
      }
    });
    const int64_t parts = (at::get_num_threads() + key_heads() - 1) / key_heads();
    at::parallel_for(0, key_heads() * parts, 1, [&](int64_t begin, int64_t end) {
      Scratch scratch;
      for (int64_t task = begin; task < end; ++task) {
        const int64_t part = task % parts;
        run_keys(task / parts, {problem_.keys * part / parts, problem_.keys * (part + 1) / parts}, scratch);
      }
    });
  }

  // Entries of row i of a query head, counted through all batches: offsets(unit)[i] .. offsets(unit)[i + 1].
  const int64_t* offsets(int64_t unit) const { return offsets_ + unit * problem_.queries; }
  exact::Tiles tiles(int64_t unit) const {
    return exact::tiles_of(offsets(unit + 1)[0] - offsets(unit)[0], problem_.queries, problem_.keys);
  }

  void run_rows(int64_t unit, Range queries, Scratch& scratch) const {
    const int64_t batch = unit / problem_.heads;
    const int64_t head = unit % problem_.heads;
    const int64_t key_head = head / problem_.group();
    const int64_t tile_keys = tiles(unit).row_keys;
    exact::Rows keys = rows(problem_.key, batch, key_head, 0);
    exact::Rows values = rows(problem_.value, batch, key_head, 0);
    if (tile_keys < problem_.keys) {
      keys = scratch.keys.pack(keys, problem_.keys, problem_.width);
      values = scratch.values.pack(values, problem_.keys, problem_.value_width);
    }
    scratch.row.resize(static_cast<size_t>(problem_.keys + exact::kBlockKeys));
    const exact::RowGradients of{rule(),
                                 problem_.scale,
                                 queries.end - queries.begin,
                                 offsets(unit) + queries.begin,
                                 keys_,
                                 weights_,
                                 score_grads_,
                                 problem_.keys,
                                 tile_keys,
                                 scratch.row.data(),
                                 rows(grad_, batch, head, queries.begin),
                                 targets(targets_.query, batch, head, queries.begin)};
    exact::chosen_functions().row_gradients(keys, problem_.width, values, problem_.value_width, of);
  }

  void run_keys(int64_t unit, Range part, Scratch& scratch) const {
    if (targets_.key.data == nullptr && targets_.value.data == nullptr) return;
    const int64_t first = unit * problem_.group();
    for (int64_t head = first; head < first + problem_.group(); ++head) {
      const int64_t step = tiles(head).queries;
      for (int64_t begin = 0; begin < problem_.queries; begin += step) {
        add_queries(head, {begin, std::min(begin + step, problem_.queries)}, part, head > first || begin > 0,
                    scratch);
      }
    }
  }

  // What some queries add to the gradients of their keys and values inside `part`.
  void add_queries(int64_t unit, Range queries, Range part, bool add, Scratch& scratch) const {
    const int64_t batch = unit / problem_.heads;
    const int64_t head = unit % problem_.heads;
    const int64_t key_head = head / problem_.group();
    const int64_t count = queries.end - queries.begin;
    const int64_t* of_rows = offsets(unit) + queries.begin;
    exact::Rows query_rows = rows(problem_.query, batch, head, queries.begin);
    exact::Rows grad_rows = rows(grad_, batch, head, queries.begin);
    if (count < problem_.queries) {
      query_rows = scratch.queries.pack(query_rows, count, problem_.width);
      grad_rows = scratch.output_grads.pack(grad_rows, count, problem_.value_width);
    }
    scratch.cursors.assign(of_rows, of_rows + count);
    for (int64_t i = 0; part.begin > 0 && i < count; ++i) {
      scratch.cursors[static_cast<size_t>(i)] =
          std::lower_bound(keys_ + of_rows[i], keys_ + of_rows[i + 1], part.begin) - keys_;
    }
    const int64_t step = tiles(unit).keys;
    for (int64_t begin = part.begin; begin < part.end; begin += step) {
      const Range tile{begin, std::min(begin + step, part.end)};
      scratch.transposed.fill({keys_, weights_, score_grads_}, tile, of_rows + 1, scratch.cursors);
      const exact::KeyGradients of{tile.end - tile.begin,
                                   scratch.transposed.first(),
                                   scratch.transposed.rows(),
                                   scratch.transposed.weights(),
                                   scratch.transposed.score_grads(),
                                   add,
                                   targets(targets_.key, batch, key_head, begin),
                                   targets(targets_.value, batch, key_head, begin)};
      exact::chosen_functions().key_gradients(query_rows, problem_.width, grad_rows, problem_.value_width,
                                              of);
    }
  }

  void run_wide() {
    const int64_t* places = support_.wide_blocks.const_data_ptr<int64_t>();
    const int64_t unit_blocks = problem_.group() * blocks_;
    std::vector<int64_t> marked;  // key heads
    for (int64_t unit = 0; unit < key_heads(); ++unit) {
      const int64_t* of_unit = places + unit * unit_blocks;
      if (std::any_of(of_unit, of_unit + unit_blocks, [](int64_t place) { return place >= 0; }))
        marked.push_back(unit);
    }
    at::parallel_for(0, static_cast<int64_t>(marked.size()), 1, [&](int64_t begin, int64_t end) {
      DenseBackward<float> path(problem_, grad_, targets_);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t unit = marked[static_cast<size_t>(i)];
        run_wide_head(unit, places + unit * unit_blocks, path);
      }
    });
  }

  // Adds to what run_heads() or run_parts() wrote.
  void run_wide_head(int64_t unit, const int64_t* places, DenseBackward<float>& path) const {
    const int64_t batch = unit / problem_.key_heads;
    const int64_t key_head = unit % problem_.key_heads;
    const exact::QueryBlocks cut{problem_.queries};
    path.begin_head(batch, key_head, /*keep_sums=*/true);
    for (int64_t i = 0; i < problem_.group() * blocks_; ++i) {
      if (places[i] < 0) continue;
      path.add({batch, key_head * problem_.group() + i / blocks_, cut.range(i % blocks_)},
               kept_weights(places[i]));
    }
    path.end_head();
  }

  RowMatrix<const float> kept_weights(int64_t place) const {
    const at::Tensor& weights = support_.wide_weights;
    if (weights.numel() == 0) return {};
    return {weights.const_data_ptr<float>() + place * weights.stride(0), weights.stride(1)};
  }

  const AttentionProblem<float> problem_;
  const HeadsView<const float> grad_;
  const SparseSupport& support_;
  const Targets<float> targets_;
  int64_t blocks_;
  const int64_t* offsets_;
  const int32_t* keys_;
  const float* weights_;
  at::Tensor score_grad_tensor_;
  float* score_grads_ = nullptr;  // null if neither query nor key needs a gradient
};

// A gradient that the kernels can write: the caller's own where it has fp32 rows of a whole width.
at::Tensor writable_rows(const at::Tensor& gradient, const at::Tensor& rows) {
  if (!gradient.defined()) return {};
  const bool in_place =
      gradient.scalar_type() == at::kFloat && gradient.stride(-1) == 1 && gradient.size(-1) == rows.size(-1);
  return in_place ? gradient : at::empty(rows.sizes(), rows.options());
}

}  // namespace

void exact_backward(const at::Tensor& grad, const AttentionCall& call, const SparseSupport& support,
                    AttentionGradients& gradients) {
  const AttentionCall rows = float_rows(call);
  const at::Tensor grad_rows = float_rows(grad);
  const std::array<at::Tensor, 3> wanted{std::get<0>(gradients), std::get<1>(gradients),
                                         std::get<2>(gradients)};
  const std::array<at::Tensor, 3> written{writable_rows(wanted[0], rows.query),
                                          writable_rows(wanted[1], rows.key),
                                          writable_rows(wanted[2], rows.value)};
  const auto view = [](const at::Tensor& tensor) {
    return tensor.defined() ? heads_view<float>(tensor) : HeadsView<float>{};
  };
  ExactBackward(grad_rows, rows, support, {view(written[0]), view(written[1]), view(written[2]), {}}).run();
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].defined() && !wanted[i].is_same(written[i])) {
      wanted[i].copy_(written[i].narrow(-1, 0, wanted[i].size(-1)));
    }
  }
}

}  // namespace giantrabbit::ops::cpu
