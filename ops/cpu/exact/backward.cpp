// Backward of exact sparse attention, over the support only. Rows first: the gradient of each score in the
// support and that of the query. Then the supports of a head are transposed by a counting sort and every key
// sums over the queries that use it, in their order. Each number is written by one thread in a fixed order:
// same bits for any number of threads. Blocks that the forward pass computed densely are added at the end.
#include <algorithm>
#include <memory>
#include <numeric>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include "ops/cpu/attention_dense.h"
#include "ops/cpu/exact/block.h"
#include "ops/cpu/exact/forward.h"

namespace giantrabbit::ops::cpu {
namespace {

// The supports of one head by key: entries of key k are first[k] .. first[k + 1] - 1, rows rising.
struct TransposedSupport {
  std::vector<int64_t> first;
  std::unique_ptr<int32_t[]> rows;
  std::unique_ptr<float[]> weights;
  std::unique_ptr<float[]> score_grads;

  // Fresh pages cost more than the sort: memory that is large enough is used again for the next head.
  void make_room(size_t entries) {
    if (entries <= room_) return;
    rows.reset(new int32_t[entries]);
    weights.reset(new float[entries]);
    score_grads.reset(new float[entries]);
    room_ = entries;
  }

 private:
  size_t room_ = 0;
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
      run_rows();
      run_keys();
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
  bool needs_keys() const { return targets_.key.data != nullptr || targets_.value.data != nullptr; }
  // A head's keys are cut into parts whose entries, which the sort writes in any order, stay in the caches.
  int64_t parts_of_head() const {
    constexpr int64_t kPartEntries = 128 * 1024;
    return std::max<int64_t>(support_.key_indices.size(0) / key_heads() / kPartEntries, 1);
  }

  // As many heads for every thread: they wait for one another once.
  void run_heads() {
    const int64_t parts = parts_of_head();
    at::parallel_for(0, key_heads(), 1, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(static_cast<size_t>(problem_.keys + exact::kBlockKeys));
      TransposedSupport transposed;
      for (int64_t unit = begin; unit < end; ++unit) {
        for (int64_t i = 0; score_grads_ != nullptr && i < problem_.group(); ++i) {
          run_stretch(unit * problem_.group() + i, {0, problem_.queries}, scratch.data());
        }
        for (int64_t part = 0; needs_keys() && part < parts; ++part) {
          run_part(unit, part, parts, transposed);
        }
      }
    });
  }

  // Else cut by heads and, inside a head, by stretches of rows,
  void run_rows() {
    if (score_grads_ == nullptr) return;
    constexpr int64_t kStretch = 64;
    const int64_t stretches = (problem_.queries + kStretch - 1) / kStretch;
    at::parallel_for(0, problem_.batch * problem_.heads * stretches, 4, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(static_cast<size_t>(problem_.keys + exact::kBlockKeys));
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task % stretches * kStretch;
        run_stretch(task / stretches, {first, std::min(first + kStretch, problem_.queries)}, scratch.data());
      }
    });
  }

  void run_stretch(int64_t unit, Range queries, float* scratch) const {
    const int64_t batch = unit / problem_.heads;
    const int64_t head = unit % problem_.heads;
    const int64_t key_head = head / problem_.group();
    const exact::RowGradients of{rule(),
                                 queries.end - queries.begin,
                                 offsets_ + unit * problem_.queries + queries.begin,
                                 keys_,
                                 weights_,
                                 score_grads_,
                                 scratch,
                                 problem_.scale,
                                 rows(grad_, batch, head, queries.begin),
                                 targets(targets_.query, batch, head, queries.begin)};
    exact::chosen_functions().row_gradients(rows(problem_.key, batch, key_head, 0), problem_.width,
                                            rows(problem_.value, batch, key_head, 0), problem_.value_width,
                                            of);
  }

  // then by parts of a head's keys, at least one for every thread.
  void run_keys() {
    if (!needs_keys()) return;
    const int64_t parts = std::max((at::get_num_threads() + key_heads() - 1) / key_heads(), parts_of_head());
    at::parallel_for(0, key_heads() * parts, 1, [&](int64_t begin, int64_t end) {
      TransposedSupport transposed;
      for (int64_t task = begin; task < end; ++task) run_part(task / parts, task % parts, parts, transposed);
    });
  }

  void run_part(int64_t unit, int64_t part, int64_t parts, TransposedSupport& transposed) const {
    run_range(unit, {problem_.keys * part / parts, problem_.keys * (part + 1) / parts}, transposed);
  }

  void run_range(int64_t unit, Range range, TransposedSupport& transposed) const {
    const int64_t batch = unit / problem_.key_heads;
    const int64_t key_head = unit % problem_.key_heads;
    const int64_t head = key_head * problem_.group();
    transpose(unit, range, transposed);
    const exact::KeyGradients of{range.end - range.begin,
                                 transposed.first.data(),
                                 transposed.rows.get(),
                                 transposed.weights.get(),
                                 transposed.score_grads.get(),
                                 targets(targets_.key, batch, key_head, range.begin),
                                 targets(targets_.value, batch, key_head, range.begin)};
    exact::chosen_functions().key_gradients(rows(problem_.query, batch, head, 0), problem_.width,
                                            rows(grad_, batch, head, 0), problem_.value_width, of);
  }

  // Calls function(row in the group of heads, entry) for the entries of a key head inside a range of keys.
  template <class Function>
  void for_each_entry(int64_t unit, Range range, const Function& function) const {
    const int64_t count = problem_.group() * problem_.queries;
    const int64_t* offsets = offsets_ + unit * count;
    const bool whole = range.begin == 0 && range.end == problem_.keys;
    for (int64_t row = 0; row < count; ++row) {
      int64_t entry = offsets[row];
      const int64_t end = offsets[row + 1];
      if (!whole) entry = std::lower_bound(keys_ + entry, keys_ + end, range.begin) - keys_;
      for (; entry < end && keys_[entry] < range.end; ++entry) function(row, entry);
    }
  }

  void transpose(int64_t unit, Range range, TransposedSupport& to) const {
    to.first.assign(static_cast<size_t>(range.end - range.begin + 2), 0);
    int64_t* first = to.first.data();
    for_each_entry(unit, range, [&](int64_t, int64_t entry) { ++first[keys_[entry] - range.begin + 2]; });
    std::partial_sum(to.first.begin(), to.first.end(), to.first.begin());
    to.make_room(static_cast<size_t>(to.first.back()));
    // first[k + 1] is where the next entry of key k goes; in the end it is the first entry of key k + 1.
    for_each_entry(unit, range,
                   [&, rows = to.rows.get(), weights = to.weights.get(), grads = to.score_grads.get()](
                       int64_t row, int64_t entry) {
                     const int64_t place = first[keys_[entry] - range.begin + 1]++;
                     rows[place] = static_cast<int32_t>(row);
                     weights[place] = weights_[entry];
                     grads[place] = score_grads_ != nullptr ? score_grads_[entry] : 0.0f;
                   });
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

  // Adds to what run_rows() and run_keys() wrote.
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

// The rows of a group of heads are read as one matrix. A contiguous tensor is not enough for that: its
// dimensions of size 1 may have any stride. Views of other dimensions get theirs anew.
at::Tensor rows_one_stride_apart(const at::Tensor& tensor) {
  return tensor.reshape({tensor.size(0), -1, tensor.size(3)}).contiguous().view(tensor.sizes());
}

}  // namespace

void exact_backward(const at::Tensor& grad, const AttentionCall& call, const SparseSupport& support,
                    AttentionGradients& gradients) {
  AttentionCall rows = float_rows(call);
  at::Tensor grad_rows = float_rows(grad);
  if (rows.heads() != rows.key_heads()) {
    rows.query = rows_one_stride_apart(rows.query);
    grad_rows = rows_one_stride_apart(grad_rows);
  }
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
