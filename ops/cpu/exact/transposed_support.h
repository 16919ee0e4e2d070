// A tile of queries and keys of a support, by key. In, compressed rows; out, the entries of key k of the
// tile, first[k] .. first[k + 1] - 1, rows rising.
#pragma once

#include <memory>
#include <numeric>
#include <vector>

#include "ops/cpu/attention_problem.h"

namespace giantrabbit::ops::cpu::exact {

struct SupportEntries {
  const int32_t* keys;
  const float* weights;
  const float* score_grads;  // null: zeros
};

class TransposedSupport {
 public:
  // Row i of the tile takes the entries from cursors[i] on, before ends[i], whose keys lie before the end of
  // `range`; cursors move behind them. Keys before the range are passed by then.
  void fill(const SupportEntries& from, Range range, const int64_t* ends, std::vector<int64_t>& cursors) {
    first_.assign(static_cast<size_t>(range.end - range.begin + 2), 0);
    int64_t* first = first_.data();
    const auto rows = std::ssize(cursors);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t entry = cursors[static_cast<size_t>(row)];
           entry < ends[row] && from.keys[entry] < range.end; ++entry) {
        ++first[from.keys[entry] - range.begin + 2];
      }
    }
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
    make_room(static_cast<size_t>(first_.back()));
    // first[k + 1] is where the next entry of key k goes; in the end it is the first entry of key k + 1.
    for (int64_t row = 0; row < rows; ++row) {
      int64_t entry = cursors[static_cast<size_t>(row)];
      for (; entry < ends[row] && from.keys[entry] < range.end; ++entry) {
        const int64_t place = first[from.keys[entry] - range.begin + 1]++;
        rows_[place] = static_cast<int32_t>(row);
        weights_[place] = from.weights[entry];
        score_grads_[place] = from.score_grads != nullptr ? from.score_grads[entry] : 0.0f;
      }
      cursors[static_cast<size_t>(row)] = entry;
    }
  }

  const int64_t* first() const { return first_.data(); }
  const int32_t* rows() const { return rows_.get(); }
  const float* weights() const { return weights_.get(); }
  const float* score_grads() const { return score_grads_.get(); }

 private:
  // Fresh pages cost more than the sort: memory that is large enough is used again.
  void make_room(size_t entries) {
    if (entries <= room_) return;
    rows_.reset(new int32_t[entries]);
    weights_.reset(new float[entries]);
    score_grads_.reset(new float[entries]);
    room_ = entries;
  }

  std::vector<int64_t> first_;
  std::unique_ptr<int32_t[]> rows_;
  std::unique_ptr<float[]> weights_;
  std::unique_ptr<float[]> score_grads_;
  size_t room_ = 0;
};

}  // namespace giantrabbit::ops::cpu::exact
