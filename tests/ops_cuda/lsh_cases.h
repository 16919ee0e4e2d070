// LSH attention problems for the kernels, with result and gradients by definition in double: count how often
// the rounds bring a key to a query, then a dense row per query. See ops/reference/lsh_attention.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <ostream>
#include <random>
#include <vector>

#include "ops/cuda/lsh_kernels.h"
#include "tests/ops_cuda/row_cases.h"

namespace giantrabbit::ops::cuda {

struct LshCase {
  const char* name;
  int64_t length;
  int64_t rounds = 1;
  int64_t chunk_length = 4;
  int64_t chunks_before = 1;
  int64_t chunks_after = 0;
  bool causal = false;
  bool exclude_self = true;
  bool padding = false;  // some positions, the first among them, whose rows are NaN
  int64_t width = 8;
  int64_t value_width = 5;
  double spread = 1.0;  // of the scores
  int64_t batch = 1;
  int64_t heads = 1;
};

inline std::ostream& operator<<(std::ostream& out, const LshCase& of) {
  return out << of.name << ", " << of.length << " positions, " << of.rounds << " rounds, chunks of "
             << of.chunk_length;
}

// Rows of one head.
using Matrix = std::vector<Row>;

struct LshWanted {
  Matrix result;
  Matrix grad_query;
  Matrix grad_key;
  Matrix grad_value;
};

// Tensors [batch, length, heads, width].
template <class Stored>
struct LshInputsOf {
  LshCase sizes;
  LshProblem problem;
  std::vector<Stored> query;
  std::vector<Stored> key;
  std::vector<Stored> value;
  std::vector<Stored> grad;
  std::vector<int64_t> order;  // [batch, heads, rounds, length]
  std::vector<char> valid;     // [batch, length]

  static HeadsLayout layout(int64_t length, int64_t heads, int64_t width) {
    return {length * heads * width, width, heads * width};
  }

  LshInputsOf(const LshCase& s, std::mt19937_64& random) : sizes(s) {
    std::normal_distribution<double> normal;
    const auto fill = [&](std::vector<Stored>& to, int64_t width, double spread) {
      for (int64_t i = 0; i < s.batch * s.length * s.heads * width; ++i)
        to.push_back(stored<Stored>(normal(random) * spread));
    };
    fill(query, s.width, s.spread);
    fill(key, s.width, 1.0);
    fill(value, s.value_width, 1.0);
    fill(grad, s.value_width, 1.0);
    for (int64_t row = 0; row < s.batch * s.heads * s.rounds; ++row) append_order(random);
    for (int64_t i = 0; i < s.batch * s.length; ++i)
      valid.push_back(!s.padding || (i % s.length != 0 && random() % 4 != 0));
    if (s.padding) spoil_padding();
    problem = {s.batch,
               s.heads,
               s.length,
               s.width,
               s.value_width,
               layout(s.length, s.heads, s.width),
               layout(s.length, s.heads, s.width),
               layout(s.length, s.heads, s.value_width),
               s.width == 0 ? 1.0 : 1.0 / std::sqrt(static_cast<double>(s.width)),
               s.rounds,
               s.chunk_length,
               s.chunks_before,
               s.chunks_after,
               s.causal,
               s.exclude_self,
               nullptr,
               nullptr};
  }

  HeadsLayout grad_layout() const { return layout(sizes.length, sizes.heads, sizes.value_width); }

  // Rows of head h of sequence b.
  Matrix rows(const std::vector<Stored>& of, int64_t b, int64_t h, int64_t width) const {
    Matrix result;
    for (int64_t i = 0; i < sizes.length; ++i)
      result.push_back(row_of(of, static_cast<size_t>((b * sizes.length + i) * sizes.heads + h),
                              static_cast<size_t>(width)));
    return result;
  }

  bool is_valid(int64_t b, size_t i) const { return valid[static_cast<size_t>(b * sizes.length) + i] != 0; }

  // How often the rounds bring key j to query i, 0 where it may not be seen.
  std::vector<std::vector<int>> counts(int64_t b, int64_t h) const {
    const auto n = static_cast<size_t>(sizes.length);
    std::vector<std::vector<int>> count(n, std::vector<int>(n, 0));
    const std::vector<std::vector<size_t>> chunks = chunks_of(b, h);
    const auto total = static_cast<int64_t>(chunks.size());
    const int64_t window = std::min(sizes.chunks_before + 1 + sizes.chunks_after, total);
    const int64_t before = std::min(sizes.chunks_before, window - 1);
    for (int64_t chunk = 0; chunk < total; ++chunk) {
      for (int64_t seen = chunk - before; seen < chunk - before + window; ++seen) {
        for (const size_t i : chunks[static_cast<size_t>(chunk)]) {
          for (const size_t j : chunks[static_cast<size_t>((seen + total) % total)]) {
            const bool permitted = is_valid(b, i) && is_valid(b, j) && (!sizes.causal || j <= i);
            count[i][j] += permitted ? 1 : 0;
          }
        }
      }
    }
    for (size_t i = 0; sizes.exclude_self && i < n; ++i) {
      const int self = std::exchange(count[i][i], 0);
      if (std::count(count[i].begin(), count[i].end(), 0) == sizes.length) count[i][i] = self;
    }
    return count;
  }

  LshWanted wanted(Normalizer normalizer, int64_t b, int64_t h) const {
    const auto n = static_cast<size_t>(sizes.length);
    const std::vector<std::vector<int>> count = counts(b, h);
    const Matrix q = rows(query, b, h, sizes.width);
    const Matrix k = rows(key, b, h, sizes.width);
    const Matrix v = rows(value, b, h, sizes.value_width);
    const Matrix g = rows(grad, b, h, sizes.value_width);
    const auto zeros = [&](int64_t width) { return Matrix(n, Row(static_cast<size_t>(width), 0.0)); };
    LshWanted all{zeros(sizes.value_width), zeros(sizes.width), zeros(sizes.width), zeros(sizes.value_width)};
    for (size_t i = 0; i < n; ++i) {
      const Row weights = row_weights(normalizer, count[i], q[i], k);
      Row weight_grads(n, 0.0);
      for (size_t j = 0; j < n; ++j) {
        if (count[i][j] == 0 || weights[j] == 0.0) continue;
        add(all.result[i], v[j], weights[j]);
        add(all.grad_value[j], g[i], weights[j]);
        weight_grads[j] = std::inner_product(g[i].begin(), g[i].end(), v[j].begin(), 0.0);
      }
      const Row score_grads = row_gradient(normalizer, weights, weight_grads);
      for (size_t j = 0; j < n; ++j) {
        if (count[i][j] == 0 || weights[j] == 0.0) continue;
        add(all.grad_query[i], k[j], score_grads[j] * problem.scale);
        add(all.grad_key[j], q[i], score_grads[j] * problem.scale);
      }
    }
    return all;
  }

 private:
  static void add(Row& to, const Row& from, double factor) {
    for (size_t c = 0; c < to.size(); ++c) to[c] += factor * from[c];
  }

  Row row_weights(Normalizer normalizer, const std::vector<int>& count, const Row& q, const Matrix& k) const {
    Row scores;
    for (size_t j = 0; j < count.size(); ++j) {
      const double score = std::inner_product(q.begin(), q.end(), k[j].begin(), 0.0) * problem.scale;
      const double bias = normalizer == Normalizer::softmax ? std::log(count[j]) : 0.0;
      scores.push_back(count[j] == 0 ? -std::numeric_limits<double>::infinity() : score + bias);
    }
    return normalizer == Normalizer::softmax ? reference_softmax(scores)
                                             : reference_weights(normalizer, scores);
  }

  static Row row_gradient(Normalizer normalizer, const Row& weights, const Row& grad) {
    if (normalizer != Normalizer::softmax) return reference_gradient(normalizer, weights, grad);
    double mean = 0.0;
    for (size_t j = 0; j < weights.size(); ++j) mean += weights[j] == 0.0 ? 0.0 : weights[j] * grad[j];
    Row result;
    for (size_t j = 0; j < weights.size(); ++j)
      result.push_back(weights[j] == 0.0 ? 0.0 : weights[j] * (grad[j] - mean));
    return result;
  }

  static Row reference_softmax(const Row& scores) {
    double maximum = -std::numeric_limits<double>::infinity();
    for (const double score : scores) maximum = std::isnan(score) ? score : std::max(maximum, score);
    Row weights(scores.size(), 0.0);
    if (maximum == -std::numeric_limits<double>::infinity()) return weights;
    double total = 0.0;
    for (size_t j = 0; j < scores.size(); ++j) total += weights[j] = std::exp(scores[j] - maximum);
    for (double& weight : weights) weight /= total;
    return weights;
  }

  // A round with few buckets of uneven sizes.
  void append_order(std::mt19937_64& random) {
    std::vector<uint64_t> bucket;
    for (int64_t i = 0; i < sizes.length; ++i) bucket.push_back(std::min(random() % 5, random() % 5));
    std::vector<int64_t> positions(bucket.size());
    std::iota(positions.begin(), positions.end(), int64_t{0});
    std::stable_sort(positions.begin(), positions.end(), [&](int64_t a, int64_t b) {
      return bucket[static_cast<size_t>(a)] < bucket[static_cast<size_t>(b)];
    });
    order.insert(order.end(), positions.begin(), positions.end());
  }

  std::vector<std::vector<size_t>> chunks_of(int64_t b, int64_t h) const {
    std::vector<std::vector<size_t>> chunks;
    for (int64_t round = 0; round < sizes.rounds; ++round) {
      const int64_t first = ((b * sizes.heads + h) * sizes.rounds + round) * sizes.length;
      for (int64_t i = 0; i < sizes.length; ++i) {
        if (i % sizes.chunk_length == 0) chunks.emplace_back();
        chunks.back().push_back(static_cast<size_t>(order[static_cast<size_t>(first + i)]));
      }
    }
    return chunks;
  }

  void spoil_padding() {
    const auto spoil = [&](std::vector<Stored>& of, int64_t width) {
      for (size_t i = 0; i < of.size(); ++i) {
        const auto position = static_cast<int64_t>(i) / width / sizes.heads;
        if (valid[static_cast<size_t>(position)] == 0) of[i] = stored<Stored>(NAN);
      }
    };
    spoil(query, sizes.width);
    spoil(key, sizes.width);
    spoil(value, sizes.value_width);
    spoil(grad, sizes.value_width);
  }
};

}  // namespace giantrabbit::ops::cuda
