// Forward of lsh_attention with sparsemax or entmax-1.5 weights. In and out: lsh_kernels.h.
//
// Note [Candidates of a round]: a row's threshold rises, or stays, when scores join it, because the sum of
// what lies above must remain 1. A key whose weight is 0 among the keys of one round is therefore 0 among
// those of all rounds. So each round leaves its own support as candidates, and the weights of a query are
// those of the union of its candidates, every key once: exact, without a row of all scores.
#include <utility>

#include <ATen/Functions.h>

#include "ops/cpu/lsh_kernels.h"
#include "ops/cpu/lsh_tile.h"
#include "ops/cpu/row_normalizer.h"

namespace giantrabbit::ops::cpu {
namespace {

constexpr int64_t kStretch = 64;  // queries that one thread joins at a time

// What a chunk leaves: of row i the entries first[i] .. first[i + 1] - 1.
template <class A>
struct Candidates {
  std::vector<int64_t> first{0};
  std::vector<std::pair<int32_t, A>> entries;  // key, score
};

// The support of a stretch of queries, row behind row.
template <class A>
struct StretchSupport {
  std::vector<int32_t> keys;
  std::vector<A> weights;
};

// Scratch for the candidates of one query.
template <class A>
struct JoinedRow {
  std::vector<std::pair<int32_t, A>> entries;
  std::vector<A> scores;
  std::vector<A> weights;
};

template <class A>
class LshSparseForward {
 public:
  LshSparseForward(const LshProblem<A>& problem, int64_t head, A* output, int64_t* counts,
                   StretchSupport<A>* support)
      : problem_(problem),
        head_(problem.head(head)),
        output_(output),
        counts_(counts),
        support_(support),
        packed_values_(problem.length, problem.value_width),
        values_(right_factor<A, A>({head_.value, problem.value_width, 1, problem.length, problem.value_width},
                                   packed_values_)),
        candidates_(static_cast<size_t>(head_.chunks.total())),
        places_(static_cast<size_t>(problem.rounds * problem.length)) {}

  void run() {
    const LshChunks& chunks = head_.chunks;
    at::parallel_for(0, chunks.total(), problem_.grain(chunks), [&](int64_t begin, int64_t end) {
      LshTile<A> tile(problem_, head_);
      ScratchMatrix<A> weights(1, tile.columns);
      std::vector<int32_t> found(static_cast<size_t>(tile.padded + kColumnPadding));
      std::vector<A> found_weights(found.size());
      for (int64_t chunk = begin; chunk < end; ++chunk) {
        tile.compute(chunk, /*once=*/true);
        for (int64_t row = 0; row < tile.rows; ++row) {
          lsh_functions_of<A>().hide(tile.row(row), tile.scores.row(row));
          normalize_row(problem_.normalizer, tile.scores.row(row), weights.row(0), tile.padded);
          const int64_t count =
              compress(weights.row(0), tile.padded, 0, tile.padded, found.data(), found_weights.data());
          keep(chunk, row, tile, found.data(), count);
        }
      }
    });
    const int64_t stretches = (problem_.length + kStretch - 1) / kStretch;
    at::parallel_for(0, stretches, 4, [&](int64_t begin, int64_t end) {
      JoinedRow<A> row;
      ScratchMatrix<A> result(1, problem_.value_width);
      for (int64_t stretch = begin; stretch < end; ++stretch) {
        const int64_t last = std::min((stretch + 1) * kStretch, problem_.length);
        for (int64_t i = stretch * kStretch; i < last; ++i) join(i, support_[stretch], row, result.row(0));
      }
    });
  }

 private:
  // A row with NaN has NaN as the weight of keys, too, that it may not see.
  void keep(int64_t chunk, int64_t row, const LshTile<A>& tile, const int32_t* columns, int64_t count) {
    Candidates<A>& of_chunk = candidates_[static_cast<size_t>(chunk)];
    const A* scores = tile.scores.row(row);
    for (const int32_t* column = columns; column != columns + count; ++column) {
      if (scores[*column] == -std::numeric_limits<A>::infinity()) continue;
      of_chunk.entries.emplace_back(tile.keys[static_cast<size_t>(*column)], scores[*column]);
    }
    of_chunk.first.push_back(static_cast<int64_t>(of_chunk.entries.size()));
    if (tile.queries[row] == kNobody) return;
    const int64_t round = chunk / head_.chunks.per_round();
    places_[static_cast<size_t>(round * problem_.length + tile.queries[row])] = chunk * tile.rows + row;
  }

  void collect(int64_t query, std::vector<std::pair<int32_t, A>>& entries) const {
    entries.clear();
    const int64_t rows = head_.chunks.chunk_length();
    for (int64_t round = 0; round < problem_.rounds; ++round) {
      const int64_t place = places_[static_cast<size_t>(round * problem_.length + query)];
      const Candidates<A>& from = candidates_[static_cast<size_t>(place / rows)];
      const int64_t* first = from.first.data() + place % rows;
      entries.insert(entries.end(), from.entries.begin() + first[0], from.entries.begin() + first[1]);
    }
    // Rounds agree in the bits of a score, so it does not matter which copy stays.
    const auto by_key = [](const auto& left, const auto& right) { return left.first < right.first; };
    const auto same_key = [](const auto& left, const auto& right) { return left.first == right.first; };
    std::sort(entries.begin(), entries.end(), by_key);
    entries.erase(std::unique(entries.begin(), entries.end(), same_key), entries.end());
  }

  void join(int64_t query, StretchSupport<A>& support, JoinedRow<A>& row, A* result) {
    row.entries.clear();
    if (head_.valid == nullptr || head_.valid[query]) collect(query, row.entries);
    const size_t before = support.keys.size();
    if (row.entries.empty()) {
      if (head_.sees_itself_last(query, problem_.pattern)) {
        support.keys.push_back(static_cast<int32_t>(query));
        support.weights.push_back(A(1));
      }
    } else {
      row.scores.clear();
      for (const auto& entry : row.entries) row.scores.push_back(entry.second);
      row.weights.resize(row.scores.size());
      const auto count = static_cast<int64_t>(row.scores.size());
      normalize_row(problem_.normalizer, row.scores.data(), row.weights.data(), count);
      for (size_t e = 0; e < row.entries.size(); ++e) {
        if (row.weights[e] == A(0)) continue;
        support.keys.push_back(row.entries[e].first);
        support.weights.push_back(row.weights[e]);
      }
    }
    counts_[query] = static_cast<int64_t>(support.keys.size() - before);
    combine<A>({counts_[query], support.keys.data() + before, support.weights.data() + before}, values_,
               problem_.value_width, result);
    std::copy_n(result, problem_.value_width, output_ + query * problem_.value_width);
  }

  const LshProblem<A>& problem_;
  const LshHead<A> head_;
  A* output_;
  int64_t* counts_;
  StretchSupport<A>* support_;
  ScratchMatrix<A> packed_values_;
  RowMatrix<const A> values_;
  std::vector<Candidates<A>> candidates_;  // of every chunk
  std::vector<int64_t> places_;            // [rounds, length]: chunk * chunk_length + row
};

}  // namespace

template <class A>
LshSupport lsh_sparse_forward(const LshProblem<A>& problem, const at::Tensor& output) {
  const int64_t stretches = (problem.length + kStretch - 1) / kStretch;
  std::vector<StretchSupport<A>> parts(static_cast<size_t>(problem.heads * stretches));
  at::Tensor row_offsets = at::zeros({problem.heads * problem.length + 1}, at::kLong);
  int64_t* const counts = row_offsets.mutable_data_ptr<int64_t>() + 1;
  A* const rows = output.mutable_data_ptr<A>();
  for_each_head(problem.heads, [&](int64_t head) {
    LshSparseForward<A>(problem, head, rows + head * problem.length * problem.value_width,
                        counts + head * problem.length, parts.data() + head * stretches)
        .run();
  });
  row_offsets = row_offsets.cumsum(0);
  const int64_t total = row_offsets[-1].template item<int64_t>();
  LshSupport support{row_offsets, at::empty({total}, at::kInt), at::empty({total}, output.options())};
  int32_t* keys = support.key_indices.mutable_data_ptr<int32_t>();
  A* weights = support.weights.template mutable_data_ptr<A>();
  for (const StretchSupport<A>& part : parts) {
    keys = std::copy(part.keys.begin(), part.keys.end(), keys);
    weights = std::copy(part.weights.begin(), part.weights.end(), weights);
  }
  return support;
}

template LshSupport lsh_sparse_forward<float>(const LshProblem<float>&, const at::Tensor&);
template LshSupport lsh_sparse_forward<double>(const LshProblem<double>&, const at::Tensor&);

}  // namespace giantrabbit::ops::cpu
