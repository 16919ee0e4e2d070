// Attention problems for the kernels, with the result by definition in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <ostream>
#include <random>
#include <type_traits>
#include <vector>

#include "ops/cuda/kernels.h"
#include "tests/ops_cuda/row_cases.h"

namespace giantrabbit::ops::cuda {

struct AttentionCase {
  const char* name;
  int64_t queries;
  int64_t keys;
  int64_t width = 16;
  int64_t value_width = 16;
  double spread = 1.0;  // of the scores
  bool causal = false;
  int64_t window = 0;
  bool with_lengths = false;  // the last sequence has all keys, the others fewer; what lies behind is NaN
  int64_t batch = 1;
  int64_t heads = 1;
  int64_t key_heads = 1;
  int64_t block_rows = 0;  // of lists; 0: none
  int64_t block_columns = 1;
  bool lists_per_head = false;
  uint64_t listed_of_five = 2;  // blocks
  bool with_bias = false;       // one for all sequences; every eighth number is -inf
};

inline constexpr AttentionCase kEveryOption{.name = "everything",
                                            .queries = 21,
                                            .keys = 53,
                                            .causal = true,
                                            .window = 29,
                                            .with_lengths = true,
                                            .batch = 2,
                                            .heads = 4,
                                            .key_heads = 2,
                                            .block_rows = 3,
                                            .block_columns = 4,
                                            .lists_per_head = true,
                                            .with_bias = true};

inline std::ostream& operator<<(std::ostream& out, const AttentionCase& attention) {
  return out << attention.name << ", " << attention.queries << " queries, " << attention.keys << " keys";
}

// Tensors [batch, length, heads, width]: a row of one head is not next to the following one.
template <class Stored>
struct AttentionInputs {
  using Sum = std::conditional_t<std::is_same_v<Stored, double>, double, float>;
  AttentionCase sizes;
  AttentionProblem problem;
  std::vector<Stored> query;
  std::vector<Stored> key;
  std::vector<Stored> value;
  std::vector<int64_t> key_lengths;
  std::vector<int64_t> row_offsets;
  std::vector<int64_t> key_indices;
  std::vector<Sum> bias;  // [heads, queries, keys]
  std::vector<Stored> result_grad;

  static HeadsLayout layout(int64_t length, int64_t heads, int64_t width) {
    return {length * heads * width, width, heads * width};
  }

  AttentionInputs(const AttentionCase& wanted, std::mt19937_64& random) : sizes(wanted) {
    std::normal_distribution<double> normal;
    const auto fill = [&](std::vector<Stored>& to, int64_t count, double spread) {
      for (int64_t i = 0; i < count; ++i) to.push_back(stored<Stored>(normal(random) * spread));
    };
    const AttentionCase& s = sizes;
    fill(query, s.batch * s.queries * s.heads * s.width, s.spread);
    fill(key, s.batch * s.keys * s.key_heads * s.width, 1.0);
    fill(value, s.batch * s.keys * s.key_heads * s.value_width, 1.0);
    fill(result_grad, s.batch * s.queries * s.heads * s.value_width, 1.0);
    for (int64_t b = 0; b < s.batch; ++b)
      key_lengths.push_back(b + 1 == s.batch ? s.keys : s.keys * (b + 1) / (s.batch + 1));
    if (s.with_lengths) spoil_hidden_keys();
    if (s.block_rows > 0) draw_lists(random);
    for (int64_t k = 0; s.with_bias && k < s.heads * s.queries * s.keys; ++k)
      bias.push_back(static_cast<Sum>(k % 8 == 5 ? -INFINITY : 0.5 * normal(random)));
    problem = {s.batch,
               s.heads,
               s.key_heads,
               s.queries,
               s.keys,
               s.width,
               s.value_width,
               layout(s.queries, s.heads, s.width),
               layout(s.keys, s.key_heads, s.width),
               layout(s.keys, s.key_heads, s.value_width),
               layout(s.queries, s.heads, s.value_width),
               s.width == 0 ? 1.0 : 1.0 / std::sqrt(static_cast<double>(s.width)),
               s.causal,
               s.window,
               nullptr};
  }

  bool lists_permit(int64_t b, int64_t h, int64_t i, int64_t j) const {
    if (sizes.block_rows == 0) return true;
    const int64_t head = sizes.lists_per_head ? b * sizes.heads + h : 0;
    const auto* offset = row_offsets.data() + head * (list_rows() + 1) + i / sizes.block_rows;
    return std::binary_search(key_indices.begin() + offset[0], key_indices.begin() + offset[1],
                              j / sizes.block_columns);
  }

  bool sees(int64_t b, int64_t h, int64_t i, int64_t j) const {
    const int64_t aligned = i + sizes.keys - sizes.queries;
    return (!sizes.causal || j <= aligned) && (sizes.window == 0 || std::abs(j - aligned) < sizes.window) &&
           (!sizes.with_lengths || j < key_lengths[static_cast<size_t>(b)]) && lists_permit(b, h, i, j);
  }

  Row scores(int64_t b, int64_t h, int64_t i) const {
    const double scale = problem.scale;
    Row all;
    for (int64_t j = 0; j < sizes.keys; ++j) {
      double sum = 0.0;
      for (int64_t c = 0; c < sizes.width; ++c)
        sum += read(query[at(b, i, h, sizes.queries, sizes.heads, sizes.width) + static_cast<size_t>(c)]) *
               read(key[at(b, j, key_head(h), sizes.keys, sizes.key_heads, sizes.width) +
                        static_cast<size_t>(c)]);
      const size_t place = static_cast<size_t>((h * sizes.queries + i) * sizes.keys + j);
      const double added = sizes.with_bias ? static_cast<double>(bias[place]) : 0.0;
      all.push_back(sees(b, h, i, j) ? sum * scale + added : -std::numeric_limits<double>::infinity());
    }
    return all;
  }

  Row weights(Normalizer normalizer, int64_t b, int64_t h, int64_t i) const {
    const Row z = scores(b, h, i);
    return normalizer == Normalizer::softmax ? softmax(z) : reference_weights(normalizer, z);
  }

  Row wanted(Normalizer normalizer, int64_t b, int64_t h, int64_t i) const {
    const Row all = weights(normalizer, b, h, i);
    Row result(static_cast<size_t>(sizes.value_width), 0.0);
    for (int64_t j = 0; j < sizes.keys; ++j) {
      const double weight = all[static_cast<size_t>(j)];
      if (weight == 0.0) continue;
      for (size_t c = 0; c < result.size(); ++c)
        result[c] +=
            weight *
            (sees(b, h, i, j)
                 ? read(value[at(b, j, key_head(h), sizes.keys, sizes.key_heads, sizes.value_width) + c])
                 : 0.0);
    }
    return result;
  }

  size_t at(int64_t b, int64_t row, int64_t h, int64_t length, int64_t heads, int64_t width) const {
    return static_cast<size_t>(((b * length + row) * heads + h) * width);
  }

  int64_t list_rows() const { return (sizes.queries + sizes.block_rows - 1) / sizes.block_rows; }
  int64_t key_head(int64_t h) const { return h / (sizes.heads / sizes.key_heads); }

 private:
  static Row softmax(const Row& z) {
    double maximum = -std::numeric_limits<double>::infinity();
    double total = 0.0;
    for (const double score : z) maximum = std::isnan(score) ? score : std::max(maximum, score);
    Row weights(z.size(), 0.0);
    if (maximum == -std::numeric_limits<double>::infinity()) return weights;
    for (size_t j = 0; j < z.size(); ++j) total += weights[j] = std::exp(z[j] - maximum);
    for (double& weight : weights) weight /= total;
    return weights;
  }

  // Every fifth row is empty.
  void draw_lists(std::mt19937_64& random) {
    const int64_t heads = sizes.lists_per_head ? sizes.batch * sizes.heads : 1;
    for (int64_t head = 0; head < heads; ++head) {
      row_offsets.push_back(static_cast<int64_t>(key_indices.size()));
      for (int64_t row = 0; row < list_rows(); ++row) {
        for (int64_t index = 0; row % 5 != 3 && index * sizes.block_columns < sizes.keys; ++index)
          if (random() % 5 < sizes.listed_of_five) key_indices.push_back(index);
        row_offsets.push_back(static_cast<int64_t>(key_indices.size()));
      }
    }
  }

  void spoil_hidden_keys() {
    for (int64_t b = 0; b < sizes.batch; ++b) {
      for (int64_t j = key_lengths[static_cast<size_t>(b)]; j < sizes.keys; ++j) {
        for (int64_t h = 0; h < sizes.key_heads; ++h) {
          key[at(b, j, h, sizes.keys, sizes.key_heads, sizes.width)] = stored<Stored>(NAN);
          value[at(b, j, h, sizes.keys, sizes.key_heads, sizes.value_width)] = stored<Stored>(NAN);
        }
      }
    }
  }
};

}  // namespace giantrabbit::ops::cuda
