// A paged cache in plain memory with its pages in a shuffled order, and attention to it by definition in
// double.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "ops/cuda/cache_kernels.h"
#include "tests/ops_cuda/row_cases.h"

namespace giantrabbit::ops::cuda {

struct CachedCase {
  std::vector<int64_t> lengths;  // of the sequences
  int64_t heads = 2;
  int64_t key_heads = 1;
  int64_t queries = 1;
  int64_t width = 8;
  int64_t value_width = 5;
  int64_t window = 0;
  double scale = 0.4;
};

// Tensors [batch, tokens, heads, width].
template <class Stored>
struct CachedTensors {
  CachedCase sizes;
  int64_t tokens;
  std::vector<Stored> query;  // [batch, queries, heads, width]
  std::vector<Stored> key;
  std::vector<Stored> value;

  CachedTensors(const CachedCase& of, std::mt19937_64& random)
      : sizes(of), tokens(*std::max_element(of.lengths.begin(), of.lengths.end())) {
    std::normal_distribution<double> normal;
    const auto fill = [&](std::vector<Stored>& to, int64_t rows, int64_t heads, int64_t width) {
      for (int64_t i = 0; i < batch() * rows * heads * width; ++i)
        to.push_back(stored<Stored>(normal(random)));
    };
    fill(query, of.queries, of.heads, of.width);
    fill(key, tokens, of.key_heads, of.width);
    fill(value, tokens, of.key_heads, of.value_width);
  }

  int64_t batch() const { return static_cast<int64_t>(sizes.lengths.size()); }
  int64_t rows() const { return batch() * sizes.heads * sizes.queries; }
  static HeadsLayout layout(int64_t rows, int64_t heads, int64_t width) {
    return {rows * heads * width, width, heads * width};
  }
  size_t key_at(int64_t b, int64_t token, int64_t g) const {
    return static_cast<size_t>((b * tokens + token) * sizes.key_heads + g);
  }

  // Row (b, h, m): weights of the sequence's keys by definition, 0 where they are not seen.
  Row weights(Normalizer normalizer, int64_t b, int64_t h, int64_t m) const {
    const int64_t length = sizes.lengths[static_cast<size_t>(b)];
    const int64_t end = length - sizes.queries + m + 1;
    const int64_t begin = sizes.window > 0 ? end - sizes.window : 0;
    const auto width = static_cast<size_t>(sizes.width);
    const Row q = row_of(query, static_cast<size_t>((b * sizes.queries + m) * sizes.heads + h), width);
    Row scores;
    for (int64_t j = 0; j < length; ++j) {
      const Row k = row_of(key, key_at(b, j, h / (sizes.heads / sizes.key_heads)), width);
      const bool seen = begin <= j && j < end;
      scores.push_back(seen ? std::inner_product(q.begin(), q.end(), k.begin(), 0.0) * sizes.scale
                            : -std::numeric_limits<double>::infinity());
    }
    if (normalizer != Normalizer::softmax) return reference_weights(normalizer, scores);
    double maximum = -std::numeric_limits<double>::infinity();
    double total = 0.0;
    for (const double score : scores) maximum = std::isnan(score) ? score : std::max(maximum, score);
    if (maximum == -std::numeric_limits<double>::infinity()) return Row(scores.size(), 0.0);
    for (double& score : scores) total += score = std::exp(score - maximum);
    for (double& score : scores) score /= total;
    return scores;
  }

  Row wanted(Normalizer normalizer, int64_t b, int64_t h, int64_t m) const {
    const Row of_keys = weights(normalizer, b, h, m);
    Row result(static_cast<size_t>(sizes.value_width), 0.0);
    for (size_t j = 0; j < of_keys.size(); ++j) {
      if (of_keys[j] == 0.0) continue;
      const size_t row = key_at(b, static_cast<int64_t>(j), h / (sizes.heads / sizes.key_heads));
      const Row v = row_of(value, row, result.size());
      for (size_t c = 0; c < result.size(); ++c) result[c] += of_keys[j] * v[c];
    }
    return result;
  }
};

template <class Stored>
class PagedCache {
  template <class T>
  using Buffer = cuda_emulator::DeviceBuffer<T>;

 public:
  PagedCache(const CachedTensors<Stored>& tensors, std::mt19937_64& random)
      : tensors_(tensors),
        row_((tensors.tokens + kPageTokens - 1) / kPageTokens),
        count_(tensors.batch() * row_),
        places_(static_cast<size_t>(count_ * tensors.sizes.key_heads)),
        keys_(places_ * kPageTokens * static_cast<size_t>(tensors.sizes.width)),
        values_(places_ * kPageTokens * static_cast<size_t>(tensors.sizes.value_width)),
        codes_(places_ * kPageTokens * words()),
        bounds_(places_ * kPageTokens),
        centres_(places_ * static_cast<size_t>(tensors.sizes.width)),
        balls_(places_),
        table_(shuffled(count_, random)),
        lengths_(std::vector<int64_t>(tensors.sizes.lengths.size(), 0)) {}

  // The next tokens, `cut` of them at most per sequence.
  void append(int64_t cut) {
    const CachedCase& sizes = tensors_.sizes;
    std::vector<int64_t> counts;
    int64_t done = 0;
    for (size_t b = 0; b < sizes.lengths.size(); ++b) {
      counts.push_back(std::min(cut, sizes.lengths[b] - lengths_.get()[b]));
      done = std::max(done, lengths_.get()[b]);
    }
    // A sequence that has all its tokens takes none, so that all others stand at the same one.
    const int64_t tokens = std::min(cut, tensors_.tokens - done);
    const Buffer<int64_t> taken(counts);
    const size_t first = tensors_.key_at(0, done, 0);
    const CacheRowsToAppend rows{
        tokens,
        taken.get(),
        key_.get() + first * static_cast<size_t>(sizes.width),
        CachedTensors<Stored>::layout(tensors_.tokens, sizes.key_heads, sizes.width),
        value_.get() + first * static_cast<size_t>(sizes.value_width),
        CachedTensors<Stored>::layout(tensors_.tokens, sizes.key_heads, sizes.value_width)};
    EXPECT_EQ(launch_cache_append(kDtype<Stored>, pages(), table(), rows, nullptr), 0);
    for (size_t b = 0; b < counts.size(); ++b) lengths_.get()[b] += counts[b];
  }
  void append_all(int64_t cut) {
    for (int64_t i = 0; i < tensors_.tokens; i += cut) append(cut);
  }

  std::vector<Stored> attend(Normalizer normalizer) const {
    const CachedCase& sizes = tensors_.sizes;
    const Buffer<Stored> query(tensors_.query);
    const auto rows = static_cast<size_t>(tensors_.rows());
    const Buffer<Stored> result(rows * static_cast<size_t>(sizes.value_width));
    const CachedProblem problem{
        sizes.heads,  sizes.queries,
        query.get(),  CachedTensors<Stored>::layout(sizes.queries, sizes.heads, sizes.width),
        result.get(), sizes.scale,
        sizes.window, row_};
    const auto parts = static_cast<size_t>(cached_parts(problem));
    const Buffer<float> lower(rows * static_cast<size_t>(row_ * kPageTokens));
    const Buffer<float> upper(lower.size());
    const Buffer<float> page_bounds(rows * static_cast<size_t>(row_));
    const Buffer<double> thresholds(rows);
    const Buffer<float> maxima(rows * parts);
    const Buffer<float> totals(rows * parts);
    const Buffer<float> sums(rows * parts * static_cast<size_t>(sizes.value_width));
    EXPECT_EQ(launch_cached_attention(normalizer, kDtype<Stored>, pages(), table(), problem,
                                      {lower.get(), upper.get(), page_bounds.get(), thresholds.get(),
                                       maxima.get(), totals.get(), sums.get()},
                                      nullptr),
              0);
    return result.values();
  }

  size_t words() const { return static_cast<size_t>((tensors_.sizes.width + 3) / 4); }
  // Of a page of a sequence and head, among the parallel arrays.
  size_t place(int64_t b, int64_t page, int64_t g) const {
    return static_cast<size_t>(table_.get()[b * row_ + page] * tensors_.sizes.key_heads + g);
  }
  Stored* key(size_t place, size_t token) const {
    return keys_.get() + (place * kPageTokens + token) * static_cast<size_t>(tensors_.sizes.width);
  }
  Stored* value(size_t place, size_t token) const {
    return values_.get() + (place * kPageTokens + token) * static_cast<size_t>(tensors_.sizes.value_width);
  }
  int code(size_t place, size_t token, size_t column) const {
    const auto four =
        static_cast<uint32_t>(codes_.get()[(place * words() + column / 4) * kPageTokens + token]);
    return static_cast<int8_t>(four >> (8 * (column % 4)));
  }
  CacheCode& bounds(size_t place, size_t token) const { return bounds_.get()[place * kPageTokens + token]; }
  const float* centre(size_t place) const {
    return centres_.get() + place * static_cast<size_t>(tensors_.sizes.width);
  }
  const CacheBall& ball(size_t place) const { return balls_.get()[place]; }

 private:
  static std::vector<int32_t> shuffled(int64_t count, std::mt19937_64& random) {
    std::vector<int32_t> pages(static_cast<size_t>(count));
    std::iota(pages.begin(), pages.end(), 0);
    std::shuffle(pages.begin(), pages.end(), random);
    return pages;
  }
  CachePages pages() const {
    return {tensors_.sizes.key_heads,
            tensors_.sizes.width,
            tensors_.sizes.value_width,
            keys_.get(),
            values_.get(),
            codes_.get(),
            bounds_.get(),
            centres_.get(),
            balls_.get()};
  }
  CacheTable table() const { return {tensors_.batch(), table_.get(), row_, lengths_.get()}; }

  const CachedTensors<Stored>& tensors_;
  int64_t row_;
  int64_t count_;
  size_t places_;
  Buffer<Stored> key_{tensors_.key};
  Buffer<Stored> value_{tensors_.value};
  Buffer<Stored> keys_;
  Buffer<Stored> values_;
  Buffer<int32_t> codes_;
  Buffer<CacheCode> bounds_;
  Buffer<float> centres_;
  Buffer<CacheBall> balls_;
  Buffer<int32_t> table_;
  Buffer<int64_t> lengths_;
};

}  // namespace giantrabbit::ops::cuda
