// Cached attention with every visible key scored in fp32: blocks of keys in, partial sums per block, merged
// in the order of the keys, so that no thread count changes a bit.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <ATen/Parallel.h>

#include "ops/cpu/cached_attention.h"
#include "ops/cpu/row_normalizer.h"

namespace giantrabbit::ops::cpu {
namespace {

// Keys and values of a block stay in the second-level cache for the rows that share them.
constexpr int64_t kBlockKeys = 512;
constexpr int64_t kBlocksPerThread = 4;

struct Block {
  int64_t begin;
  int64_t count;
};

// Blocks start at multiples of kBlockKeys whatever a row may see.
Block visible_block(const CachedQuery& row, int64_t block) {
  const int64_t begin = std::max(row.begin, block * kBlockKeys);
  return {begin, std::max<int64_t>(0, std::min(row.end, (block + 1) * kBlockKeys) - begin)};
}

// sum += weights . values; weights of 0 keep out what is not finite. Values are read in order unless few of
// them have a weight.
void add_values(const CachedCall& call, const CachedHead& head, Block block, const float* weights,
                bool may_be_sparse, float* sum) {
  const auto all = [&] { call.functions.add_rows(weights, head.values, block.begin, block.count, sum); };
  if (head.finite_values && !may_be_sparse) return all();
  std::array<int64_t, kBlockKeys> list;
  const int64_t found = call.functions.nonzeros(weights, block.count, block.begin, list.data());
  if (head.finite_values && found > block.count / 4) return all();
  std::array<float, kBlockKeys> kept;
  for (int64_t i = 0; i < found; ++i) {
    kept[static_cast<size_t>(i)] = weights[list[static_cast<size_t>(i)] - block.begin];
  }
  if (found > 0) call.functions.add_listed(kept.data(), head.values, list.data(), found, sum);
}

void score_block(const CachedCall& call, const CachedHead& head, const CachedQuery& row, Block block,
                 float* scores) {
  call.functions.score_rows(row.query, head.keys, block.begin, block.count, call.scale, scores);
}

// Blocks that any row sees, and room for what each row has of each.
class BlockSums {
 public:
  BlockSums(const CachedHead& head, std::span<const CachedQuery> rows) : width_(head.values.stride) {
    first_ = std::numeric_limits<int64_t>::max();
    int64_t last = 0;
    for (const CachedQuery& row : rows) {
      first_ = std::min(first_, row.begin / kBlockKeys);
      last = std::max(last, (row.end + kBlockKeys - 1) / kBlockKeys);
    }
    blocks_ = std::max<int64_t>(0, last - first_);
    sums_.resize(static_cast<size_t>(blocks_ * std::ssize(rows) * width_));
    softmax_.resize(static_cast<size_t>(blocks_ * std::ssize(rows)));
  }
  int64_t first() const { return first_; }
  int64_t end() const { return first_ + blocks_; }
  float* sum(size_t row, int64_t block) {
    return sums_.data() + place(row, block) * static_cast<size_t>(width_);
  }
  SoftmaxSums& softmax(size_t row, int64_t block) { return softmax_[place(row, block)]; }
  // output = sum of factor(block) * sum(block).
  template <class Factor>
  void merge(size_t row, float* output, Factor factor) {
    std::fill(output, output + width_, 0.0F);
    for (int64_t block = first(); block < end(); ++block) {
      const float by = factor(block);
      const float* from = sum(row, block);
      for (int64_t k = 0; k < width_ && by != 0.0F; ++k) output[k] += by * from[k];
    }
  }
  template <class Function>
  void for_all(const Function& function) const {
    at::parallel_for(first(), end(), kBlocksPerThread, [&](int64_t begin, int64_t stop) {
      for (int64_t block = begin; block < stop; ++block) function(block);
    });
  }

 private:
  size_t place(size_t row, int64_t block) const {
    return row * static_cast<size_t>(blocks_) + static_cast<size_t>(block - first_);
  }
  int64_t width_;
  int64_t first_;
  int64_t blocks_;
  std::vector<float> sums_;
  std::vector<SoftmaxSums> softmax_;
};

// Whether the row sees keys of one block only: then it needs no partial sums and no memory of its own.
bool within_block(const CachedQuery& row) {
  return row.end > row.begin && row.begin / kBlockKeys == (row.end - 1) / kBlockKeys;
}

int64_t attend_block(const CachedCall& call, const CachedHead& head, const CachedQuery& row) {
  const Block block{row.begin, row.end - row.begin};
  const int64_t width = head.values.stride;
  std::array<float, kBlockKeys> weights;
  score_block(call, head, row, block, weights.data());
  std::fill_n(row.output, width, 0.0F);
  if (call.normalizer != Normalizer::softmax) {
    normalize_row(call.normalizer, weights.data(), block.count);
    add_values(call, head, block, weights.data(), true, row.output);
    return block.count - std::count(weights.begin(), weights.begin() + block.count, 0.0F);
  }
  const SoftmaxSums sums = call.functions.exponentials(weights.data(), block.count);
  if (std::isinf(sums.maximum)) return block.count;
  add_values(call, head, block, weights.data(), false, row.output);
  const auto share = static_cast<float>(1.0 / sums.sum);
  const bool spoilt = std::isnan(sums.maximum);
  for (int64_t k = 0; k < width; ++k) {
    row.output[k] = spoilt ? std::numeric_limits<float>::quiet_NaN() : row.output[k] * share;
  }
  return block.count;
}

void merge_softmax(BlockSums& sums, size_t index, const CachedQuery& row, int64_t width) {
  float maximum = -std::numeric_limits<float>::infinity();
  bool spoilt = false;
  for (int64_t block = sums.first(); block < sums.end(); ++block) {
    spoilt = spoilt || std::isnan(sums.softmax(index, block).maximum);
    maximum = std::max(maximum, sums.softmax(index, block).maximum);
  }
  if (spoilt) return std::fill_n(row.output, width, std::numeric_limits<float>::quiet_NaN()), void();
  if (std::isinf(maximum)) return std::fill_n(row.output, width, 0.0F), void();
  const auto share = [&](int64_t block) { return std::exp(sums.softmax(index, block).maximum - maximum); };
  double total = 0;
  for (int64_t block = sums.first(); block < sums.end(); ++block) {
    total += static_cast<double>(share(block)) * sums.softmax(index, block).sum;
  }
  sums.merge(index, row.output,
             [&](int64_t block) { return static_cast<float>(static_cast<double>(share(block)) / total); });
}

void softmax_rows(const CachedCall& call, const CachedHead& head, std::span<CachedQuery> rows) {
  BlockSums sums(head, rows);
  sums.for_all([&](int64_t index) {
    std::array<float, kBlockKeys> scores;
    for (size_t i = 0; i < rows.size(); ++i) {
      const Block block = visible_block(rows[i], index);
      sums.softmax(i, index) = {-std::numeric_limits<float>::infinity(), 0.0};
      if (block.count == 0) continue;
      score_block(call, head, rows[i], block, scores.data());
      sums.softmax(i, index) = call.functions.exponentials(scores.data(), block.count);
      add_values(call, head, block, scores.data(), false, sums.sum(i, index));
    }
  });
  for (size_t i = 0; i < rows.size(); ++i) merge_softmax(sums, i, rows[i], head.values.stride);
}

void score_all(const CachedCall& call, const CachedHead& head, const CachedQuery& row,
               const BlockSums& blocks, float* scores) {
  blocks.for_all([&](int64_t index) {
    const Block block = visible_block(row, index);
    if (block.count > 0) score_block(call, head, row, block, scores + (block.begin - row.begin));
  });
}

// Softmax keeps every permitted key, also those whose weight is too small for a float; the others keep what
// is not 0.
void collect_support(const CachedCall& call, const CachedQuery& row, const std::vector<float>& scores,
                     const std::vector<float>& weights) {
  for (size_t i = 0; i < weights.size(); ++i) {
    const bool permitted = call.normalizer == Normalizer::softmax
                               ? scores[i] != -std::numeric_limits<float>::infinity()
                               : weights[i] != 0.0F;
    if (!permitted) continue;
    row.support->keys.push_back(row.begin + static_cast<int64_t>(i));
    row.support->weights.push_back(weights[i]);
  }
}

int64_t threshold_row(const CachedCall& call, const CachedHead& head, CachedQuery& row) {
  BlockSums sums(head, std::span(&row, 1));
  thread_local std::vector<float> buffer;  // as long as the longest row: page faults cost more than the work
  std::vector<float>& weights = buffer;
  weights.resize(static_cast<size_t>(row.end - row.begin));
  score_all(call, head, row, sums, weights.data());
  normalize_row(call.normalizer, weights.data(), std::ssize(weights));
  sums.for_all([&](int64_t index) {
    const Block block = visible_block(row, index);
    if (block.count == 0) return;
    add_values(call, head, block, weights.data() + (block.begin - row.begin), true, sums.sum(0, index));
  });
  sums.merge(0, row.output, [](int64_t) { return 1.0F; });
  if (row.support != nullptr) collect_support(call, row, weights, weights);
  return std::ssize(weights) - std::count(weights.begin(), weights.end(), 0.0F);
}

void softmax_support(const CachedCall& call, const CachedHead& head, const CachedQuery& row) {
  std::vector<float> scores(static_cast<size_t>(row.end - row.begin));
  score_all(call, head, row, BlockSums(head, std::span(&row, 1)), scores.data());
  std::vector<float> weights = scores;
  normalize_row(call.normalizer, weights.data(), std::ssize(weights));
  collect_support(call, row, scores, weights);
}

}  // namespace

void attend_dense(const CachedCall& call, const CachedHead& head, std::span<CachedQuery> rows,
                  CachedAttentionCounters& counters) {
  const bool softmax = call.normalizer == Normalizer::softmax;
  const bool short_rows = std::ranges::all_of(
      rows, [](const CachedQuery& row) { return row.support == nullptr && within_block(row); });
  if (softmax && !short_rows) softmax_rows(call, head, rows);
  for (CachedQuery& row : rows) {
    const int64_t visible = row.end - row.begin;
    int64_t used = visible;
    if (short_rows) {
      used = attend_block(call, head, row);
    } else if (!softmax) {
      used = threshold_row(call, head, row);
    } else if (row.support != nullptr) {
      softmax_support(call, head, row);
    }
    counters.rows += 1;
    counters.dense_rows += 1;
    counters.keys_visible += visible;
    counters.keys_scored += visible;
    counters.support += used;
    counters.bytes_read += 4 * (visible * head.keys.stride + used * head.values.stride);
  }
}

}  // namespace giantrabbit::ops::cpu
