// See wide.h.
#include "ops/cpu/exact/wide.h"

namespace giantrabbit::ops::cpu::exact {

// A row of weights takes no more memory than the longest support of a narrow block.
int64_t kept_row(int64_t keys, int64_t blocks) {
  constexpr int64_t kLongest = 2 * kMostEntries;  // an entry is a key and a weight
  constexpr int64_t kMostNumbers = int64_t{1} << 26;
  const bool kept = keys <= kLongest && blocks * kBlockQueries * padded_columns(keys) <= kMostNumbers;
  return kept ? padded_columns(keys) : 0;
}

WideForward::WideForward(const AttentionProblem<float>& problem, const HeadsView<float>& output, Keep keep)
    : problem_(problem), path_(problem, output), keep_(keep) {}

bool WideForward::run(const QueryBlock& block, int64_t* counts, BlockSupport* support, float* rows) {
  const int64_t key_head = block.batch * problem_.key_heads + block.head / problem_.group();
  if (key_head != prepared_) path_.prepare_head(block.batch, block.head / problem_.group());
  prepared_ = key_head;
  if (keep_ == Keep::nothing) {
    path_.run(block);
    return false;
  }
  bool entries = true;
  path_.run(block, {}, [&](const QueryBlock& part, const auto& weights, const auto* sparse) {
    const int64_t first = part.queries.begin - block.queries.begin;
    entries = entries && append(weights, sparse, part.count(), counts + first, *support);
    const int64_t row = padded_columns(problem_.keys);
    if (rows != nullptr) weights.save({rows + first * row, row});
  });
  if (!entries) {
    *support = {};
    std::fill_n(counts, block.count(), 0);
  }
  return entries;
}

// The support of a part; false if the backward pass gains nothing from it.
bool WideForward::append(const WeightBlock<float>& weights, const SparseBlock<float>* sparse, int64_t rows,
                         int64_t* counts, BlockSupport& support) {
  if (sparse == nullptr && keep_ != Keep::everything) return false;
  if (sparse != nullptr && !make_room(*sparse, rows, support)) return false;
  for (int64_t i = 0; i < rows; ++i) {
    if (sparse == nullptr) {
      counts[i] = append_row(weights, i, support);
    } else {
      const SparseRow<float> row = sparse->row(i);
      counts[i] = row.count;
      support.keys.insert(support.keys.end(), row.indices, row.indices + row.count);
      support.weights.insert(support.weights.end(), row.values, row.values + row.count);
    }
  }
  return true;
}

// For the entries of a part; false if they are too many.
bool WideForward::make_room(const SparseBlock<float>& sparse, int64_t rows, BlockSupport& support) const {
  int64_t entries = 0;
  for (int64_t i = 0; i < rows; ++i) entries += sparse.row(i).count;
  if (keep_ != Keep::everything && entries > rows * kMostEntries) return false;
  const size_t total = support.keys.size() + static_cast<size_t>(entries);
  support.keys.reserve(total);
  support.weights.reserve(total);
  return true;
}

// Every weight that is not 0, NaN included.
int64_t WideForward::append_row(const WeightBlock<float>& weights, int64_t i, BlockSupport& support) const {
  const size_t before = support.keys.size();
  const float* row = weights.weights.row(i);
  weights.columns.for_each_run(weights.visible[static_cast<size_t>(i)], [&](int64_t key, Range part) {
    for (int64_t j = part.begin; j < part.end; ++j, ++key) {
      if (row[j] == 0.0f) continue;
      support.keys.push_back(static_cast<int32_t>(key));
      support.weights.push_back(row[j]);
    }
  });
  return static_cast<int64_t>(support.keys.size() - before);
}

}  // namespace giantrabbit::ops::cpu::exact
