// Forward and support of sparse_mask_attention on the CPU. In, a checked call; out, its result (and the
// weights that are not 0, in compressed rows). Work is cut by key/value head and by blocks of queries; a row
// of the result depends on its own query and its head's keys only.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include "ops/cpu/attention_dense.h"
#include "ops/cpu/attention_kernels.h"

namespace giantrabbit::ops::cpu {
namespace {

// The compressed rows of the heads of one key/value head.
template <class T>
struct HeadSupport {
  std::vector<int64_t> counts;
  std::vector<int64_t> keys;
  std::vector<Accumulate<T>> weights;
};

// Softmax keeps every permitted key, also those whose weight is too small for the dtype, so the scores
// decide; the others keep what is not 0 (NaN included).
template <class T>
void collect_head(const AttentionProblem<T>& problem, const QueryBlock& head, DenseForward<T>& forward,
                  HeadSupport<T>& support) {
  using A = Accumulate<T>;
  const bool softmax = problem.normalizer == Normalizer::softmax;
  std::vector<std::vector<int64_t>> kept(static_cast<size_t>(problem.block_queries()));  // columns of a part
  const auto see_scores = [&](int64_t i, const A* scores, Range range) {
    for (int64_t j = range.begin; j < range.end; ++j) {
      if (scores[j] != -std::numeric_limits<A>::infinity()) kept[static_cast<size_t>(i)].push_back(j);
    }
  };
  const auto see_weights = [&](const QueryBlock& part, const WeightBlock<T>& block, const SparseBlock<T>*) {
    for (int64_t i = 0; i < part.count(); ++i) {
      std::vector<int64_t>& kept_columns = kept[static_cast<size_t>(i)];
      const A* weights = block.weights.row(i);
      const Range range = block.visible[static_cast<size_t>(i)];
      for (int64_t j = range.begin; j < range.end && !softmax; ++j) {
        if (weights[j] != A(0)) kept_columns.push_back(j);
      }
      support.counts.push_back(static_cast<int64_t>(kept_columns.size()));
      auto column = kept_columns.begin();
      block.columns.for_each_run(range, [&](int64_t key, Range columns) {
        for (; column != kept_columns.end() && *column < columns.end; ++column) {
          support.keys.push_back(key + *column - columns.begin);
          support.weights.push_back(weights[*column]);
        }
      });
      kept_columns.clear();
    }
  };
  forward.run(head, softmax ? SeeScores<A>(see_scores) : SeeScores<A>(), see_weights);
}

template <class T>
SupportTensors join(const std::vector<HeadSupport<T>>& heads, const at::Tensor& output) {
  const at::Tensor counts =
      at::empty({output.size(0) * output.size(1) * output.size(2)}, output.options().dtype(at::kLong));
  int64_t total = 0;
  int64_t* count = counts.mutable_data_ptr<int64_t>();
  for (const HeadSupport<T>& head : heads) {
    count = std::copy(head.counts.begin(), head.counts.end(), count);
    total += static_cast<int64_t>(head.keys.size());
  }
  const at::Tensor keys = at::empty({total}, counts.options());
  const at::Tensor weights =
      at::empty({total}, counts.options().dtype(c10::CppTypeToScalarType<Accumulate<T>>::value));
  int64_t* key = keys.mutable_data_ptr<int64_t>();
  Accumulate<T>* weight = weights.template mutable_data_ptr<Accumulate<T>>();
  for (const HeadSupport<T>& head : heads) {
    key = std::copy(head.keys.begin(), head.keys.end(), key);
    weight = std::copy(head.weights.begin(), head.weights.end(), weight);
  }
  return {output, at::cat({at::zeros({1}, counts.options()), counts.cumsum(0)}), keys, weights, {}};
}

}  // namespace

at::Tensor room_for_weights(const AttentionCall& call) {
  constexpr int64_t kMostKeys = 128;  // a row of them is about as long as a few rows of the operands
  if (call.keys() > kMostKeys) return {};
  return at::zeros({call.batch(), call.heads(), call.queries(), padded_columns(call.keys())},
                   call.query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
}

template <class T>
void attention_forward(const AttentionCall& call, at::Tensor& output, const at::Tensor& weights) {
  using A = Accumulate<T>;
  const AttentionProblem<T> problem = make_problem<T>(call);
  const HeadsView<T> target = heads_view<T>(output);
  const int64_t units = problem.batch * problem.key_heads;
  const int64_t unit_blocks = problem.group() * problem.blocks();
  if (units * unit_blocks == 0) return;
  // Fewer heads than threads: several threads share a head, each packing its keys for itself.
  const int64_t parts = std::min(unit_blocks, (at::get_num_threads() + units - 1) / units);
  const HeadsView<A> kept = weights.defined() ? heads_view<A>(weights) : HeadsView<A>{};
  const auto keep = [&](const QueryBlock& part, const WeightBlock<T>& block, const SparseBlock<T>*) {
    if (kept.data != nullptr) block.save({kept.at(part.batch, part.head, part.queries.begin), kept.row});
  };
  at::parallel_for(0, units * parts, 1, [&](int64_t begin, int64_t end) {
    DenseForward<T> forward(problem, target);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t batch = task / parts / problem.key_heads;
      const int64_t key_head = task / parts % problem.key_heads;
      forward.prepare_head(batch, key_head);
      // In turns: later blocks of a causal mask are longer.
      for (int64_t i = task % parts; i < unit_blocks; i += parts) {
        const int64_t head = key_head * problem.group() + i / problem.blocks();
        forward.run(query_block(problem, batch, head, i % problem.blocks()), {}, keep);
      }
    }
  });
}

template <class T>
SupportTensors attention_support(const AttentionCall& call, at::Tensor& output) {
  const AttentionProblem<T> problem = make_problem<T>(call);
  const HeadsView<T> target = heads_view<T>(output);
  const int64_t units = problem.batch * problem.key_heads;
  std::vector<HeadSupport<T>> supports(static_cast<size_t>(units));
  at::parallel_for(0, units, 1, [&](int64_t begin, int64_t end) {
    DenseForward<T> forward(problem, target);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t batch = unit / problem.key_heads;
      const int64_t key_head = unit % problem.key_heads;
      forward.prepare_head(batch, key_head);
      for (int64_t i = 0; i < problem.group(); ++i) {
        const QueryBlock head{batch, key_head * problem.group() + i, {0, problem.queries}};
        collect_head(problem, head, forward, supports[static_cast<size_t>(unit)]);
      }
    }
  });
  return join(supports, output);
}

template void attention_forward<float>(const AttentionCall&, at::Tensor&, const at::Tensor&);
template void attention_forward<double>(const AttentionCall&, at::Tensor&, const at::Tensor&);
template void attention_forward<c10::BFloat16>(const AttentionCall&, at::Tensor&, const at::Tensor&);
template void attention_forward<c10::Half>(const AttentionCall&, at::Tensor&, const at::Tensor&);
template SupportTensors attention_support<float>(const AttentionCall&, at::Tensor&);
template SupportTensors attention_support<double>(const AttentionCall&, at::Tensor&);
template SupportTensors attention_support<c10::BFloat16>(const AttentionCall&, at::Tensor&);
template SupportTensors attention_support<c10::Half>(const AttentionCall&, at::Tensor&);

}  // namespace giantrabbit::ops::cpu
