// Forward of exact sparse attention: cuts a call into heads and blocks of queries, hands the blocks to the
// stages and those that turn out wide to the dense path.
//
// Note [Exact by bounds]
// ~~~~~~~~~~~~~~~~~~~~~~
// Sparsemax: p_j = max(z_j - tau, 0) with sum_j p_j = 1; entmax-1.5: p_j = max(z_j/2 - tau, 0)^2 likewise. In
// both the left side of the equation falls as tau rises and grows as keys are added. Hence
//
//   (1) tau(A) <= tau(all) for every set A of keys, and tau(z - e) = tau(z) - e <= tau of any scores >= z -
//   e; (2) if every key outside A has a score at or below the bound L that belongs to tau(A) (L = tau for
//       sparsemax, 2 tau for entmax-1.5), then tau(A) = tau(all): weights and output are exact.
//
// So scores are first computed in low precision, z~, with a bound e >= |z - z~|; a key with z~ + e <= L is
// dropped for good, the others are scored again in fp32, join the list A, and L rises to that of A. With
// codes a of the query (scale s_q) and c of the keys (one scale s_b per block), k~ = s_b c, q~ = s_q a:
//
//   q.k - q~.k~ = q.(k - k~) + (q - q~).k~,   |q.k - q~.k~| <= |q| E_b + |q - q~| N_b
//
// with E_b the largest |k - k~| and N_b the largest |k~| of the block. The fp32 product itself differs from
// q.k by at most d u |q| |k| (u = 2^-24, Higham 2002, section 3.1), decoding rounds once more; both are in
// E_b as (d + 16) u (N_b + E_b). Norms are rounded up by 2e-5 of themselves and 1e-17, which covers their own
// rounding and squares that underflow. The query is scaled before it is coded. On machines without integer
// products codes are the numbers themselves, E_b holds the rounding of two fp32 products, and the rest is the
// same. Comparisons are rounded towards keeping a key: see set_limits() and seed_row(). L is computed in fp32
// and lowered by 4e-6 (1 + |max z|). Scale per block, not per head: one huge key spoils its own block only.
//
// Wide blocks: where three in ten of the pairs may matter, or nearly all of those seen so far, the dense path
// is faster. The last block of a head's queries goes first; if it is wide, so is the whole head. Both
// verdicts depend on the data alone, so results are repeatable bit by bit for any number of threads.
#include "ops/cpu/exact/forward.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include "ops/cpu/exact/block.h"
#include "ops/cpu/exact/wide.h"

namespace giantrabbit::ops::cpu {
namespace {

using exact::kBlockKeys;

// Below this many keys the dense path has less to save than the stages cost.
constexpr int64_t kFewestKeys = 128;
// 255 * 127 * width and its offset stay far inside int32.
constexpr int64_t kWidest = 16384;

// Everything that the blocks of a call share.
class ExactForward {
 public:
  ExactForward(const AttentionCall& call, at::Tensor& output, Keep keep)
      : problem_(make_problem<float>(call)),
        output_(heads_view<float>(output)),
        keep_(keep),
        steps_(exact::code_steps(problem_.width)),
        key_blocks_((problem_.keys + kBlockKeys - 1) / kBlockKeys),
        cut_{problem_.queries},
        blocks_(cut_.count()),
        counts_(at::empty({problem_.batch * problem_.heads * problem_.queries}, at::kLong)),
        wide_(at::zeros({problem_.batch, problem_.heads, blocks_}, at::kBool)),
        places_(at::full({problem_.batch, problem_.heads, blocks_}, -1, at::kLong)),
        wide_weights_(at::empty({0, exact::kBlockQueries, 0}, at::kFloat)),
        supports_(static_cast<size_t>(keep != Keep::nothing ? problem_.batch * problem_.heads * blocks_ : 0)),
        counters_(static_cast<size_t>(problem_.batch * problem_.heads * blocks_)) {
    codes_ = at::empty({heads() * key_blocks_, steps_ * kBlockKeys}, at::kInt);
    scales_ = at::empty({4, heads() * key_blocks_}, at::kFloat);
    good_ = at::ones({heads() * key_blocks_}, at::kBool);
  }

  SparseSupport run() {
    if (heads() % at::get_num_threads() == 0) {
      run_heads();
    } else {
      run_parts();
    }
    run_wide();
    return keep_ != Keep::nothing ? join() : SparseSupport{};
  }

 private:
  int64_t heads() const { return problem_.batch * problem_.key_heads; }

  exact::HeadOperands operands(int64_t batch, int64_t key_head) const {
    const int64_t first = (batch * problem_.key_heads + key_head) * key_blocks_;
    float* scales = scales_.data_ptr<float>() + first;
    const int64_t stride = scales_.size(1);
    return {problem_.keys,
            {problem_.key.at(batch, key_head, 0), problem_.key.row},
            {problem_.value.at(batch, key_head, 0), problem_.value.row},
            {steps_, reinterpret_cast<uint32_t*>(codes_.data_ptr<int32_t>()) + first * steps_ * kBlockKeys,
             scales, scales + stride, scales + 2 * stride, scales + 3 * stride}};
  }

  // Blocks of keys, counted through all heads.
  void quantise(int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / key_blocks_;
      const auto of = operands(head / problem_.key_heads, head % problem_.key_heads);
      good_.data_ptr<bool>()[i] = exact::chosen_functions().quantise_keys(
          of.keys, of.count, problem_.width, of.codes, i % key_blocks_, i % key_blocks_ + 1);
    }
  }

  bool head_is_good(int64_t batch, int64_t key_head) const {
    const bool* good = good_.const_data_ptr<bool>() + (batch * problem_.key_heads + key_head) * key_blocks_;
    return std::all_of(good, good + key_blocks_, [](bool block) { return block; });
  }

  // Runs block `block` of query head `unit`; a wide one is marked for the dense path.
  void run_block(int64_t unit, int64_t block, exact::BlockStages& stages) {
    const int64_t batch = unit / problem_.heads;
    const int64_t head = unit % problem_.heads;
    const int64_t index = unit * blocks_ + block;
    const Range queries = cut_.range(block);
    int64_t* counts = counts_.data_ptr<int64_t>() + unit * problem_.queries + queries.begin;
    const bool narrow =
        stages.run({batch, head, queries}, operands(batch, head / problem_.group()), counts, support(index));
    if (!narrow) mark_wide(unit, block);
    if (narrow) counters_[static_cast<size_t>(index)] = stages.counters();
  }

  exact::BlockSupport* support(int64_t index) {
    return keep_ != Keep::nothing ? &supports_[static_cast<size_t>(index)] : nullptr;
  }

  void mark_wide(int64_t unit, int64_t block) {
    const int64_t index = unit * blocks_ + block;
    const Range queries = cut_.range(block);
    wide_.data_ptr<bool>()[index] = true;
    std::fill(counts_.data_ptr<int64_t>() + unit * problem_.queries + queries.begin,
              counts_.data_ptr<int64_t>() + unit * problem_.queries + queries.end, 0);
    exact::Counters& counters = counters_[static_cast<size_t>(index)];
    counters = {};
    counters.dense = (queries.end - queries.begin) * problem_.keys;
    counters.bytes = 4 * problem_.keys * (problem_.width + problem_.value_width);
  }

  // As many heads for every thread: they wait for one another once.
  void run_heads() {
    at::parallel_for(0, heads(), 1, [&](int64_t begin, int64_t end) {
      exact::BlockStages stages(problem_);
      stages.output = &output_;
      quantise(begin * key_blocks_, end * key_blocks_);
      for (int64_t unit = begin * problem_.group(); unit < end * problem_.group(); ++unit) {
        run_last_block(unit, stages);
        run_blocks(unit * (blocks_ - 1), (unit + 1) * (blocks_ - 1), stages);
      }
    });
  }

  // Else cut by blocks.
  void run_parts() {
    constexpr int64_t kGrain = 16;  // blocks of keys
    at::parallel_for(0, heads() * key_blocks_, kGrain,
                     [&](int64_t begin, int64_t end) { quantise(begin, end); });
    const int64_t units = problem_.batch * problem_.heads;
    const auto in_parallel = [&](int64_t count, const auto& run) {
      at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
        exact::BlockStages stages(problem_);
        stages.output = &output_;
        run(begin, end, stages);
      });
    };
    in_parallel(units, [&](int64_t begin, int64_t end, exact::BlockStages& stages) {
      for (int64_t unit = begin; unit < end; ++unit) run_last_block(unit, stages);
    });
    in_parallel(units * (blocks_ - 1), [&](int64_t begin, int64_t end, exact::BlockStages& stages) {
      run_blocks(begin, end, stages);
    });
  }

  // The last block of a head goes first; if it is wide, so is the whole head.
  void run_last_block(int64_t unit, exact::BlockStages& stages) {
    bool& wide = wide_.data_ptr<bool>()[unit * blocks_ + blocks_ - 1];
    wide = !head_is_good(unit / problem_.heads, unit % problem_.heads / problem_.group());
    if (!wide) run_block(unit, blocks_ - 1, stages);
    for (int64_t block = 0; wide && block < blocks_; ++block) mark_wide(unit, block);
  }

  // The other blocks of narrow heads, counted through all heads.
  void run_blocks(int64_t begin, int64_t end, exact::BlockStages& stages) {
    const bool* wide = wide_.const_data_ptr<bool>();
    const int64_t rest = blocks_ - 1;
    for (int64_t i = begin; i < end; ++i) {
      // From both ends in turn: under a causal mask neighbouring halves cost the same.
      const int64_t turn = i % rest;
      const int64_t block = turn % 2 == 0 ? turn / 2 : rest - 1 - turn / 2;
      if (!wide[i / rest * blocks_ + rest]) run_block(i / rest, block, stages);
    }
  }

  void run_wide() {
    const bool* wide = wide_.const_data_ptr<bool>();
    std::vector<int64_t> marked;  // (batch, head, block), grouped by key head
    for (int64_t i = 0; i < wide_.numel(); ++i) {
      if (wide[i]) marked.push_back(i);
    }
    const auto places = static_cast<int64_t>(marked.size());
    const int64_t row = keep_ == Keep::for_backward ? exact::kept_row(problem_.keys, places) : 0;
    if (row > 0) wide_weights_ = at::empty({places, exact::kBlockQueries, row}, at::kFloat);
    at::parallel_for(0, places, 1, [&](int64_t begin, int64_t end) {
      exact::WideForward path(problem_, output_, keep_);
      for (int64_t place = begin; place < end; ++place) {
        const int64_t index = marked[static_cast<size_t>(place)];
        const int64_t unit = index / blocks_;
        const Range queries = cut_.range(index % blocks_);
        float* rows =
            row > 0 ? wide_weights_.data_ptr<float>() + place * exact::kBlockQueries * row : nullptr;
        const bool entries = path.run({unit / problem_.heads, unit % problem_.heads, queries},
                                      counts_.data_ptr<int64_t>() + unit * problem_.queries + queries.begin,
                                      support(index), rows);
        if (!entries) places_.data_ptr<int64_t>()[index] = place;
        if (entries) counters_[static_cast<size_t>(index)].support = std::ssize(support(index)->keys);
      }
    });
    const int64_t* kept = places_.const_data_ptr<int64_t>();
    const bool unused = std::all_of(kept, kept + places_.numel(), [](int64_t place) { return place < 0; });
    if (unused) wide_weights_ = at::empty({0, exact::kBlockQueries, 0}, at::kFloat);
  }

  SparseSupport join() const {
    const int64_t units = problem_.batch * problem_.heads;
    std::vector<int64_t> first(supports_.size() + 1, 0);
    for (size_t i = 0; i < supports_.size(); ++i) {
      first[i + 1] = first[i] + static_cast<int64_t>(supports_[i].keys.size());
    }
    SparseSupport joined{at::empty({counts_.size(0) + 1}, at::kLong),
                         at::empty({first.back()}, at::kInt),
                         at::empty({first.back()}, at::kFloat),
                         places_,
                         wide_weights_,
                         at::zeros({problem_.batch, problem_.heads, exact::Counters::kCount}, at::kLong)};
    int64_t* offsets = joined.row_offsets.data_ptr<int64_t>();
    const int64_t* counts = counts_.const_data_ptr<int64_t>();
    offsets[0] = 0;
    for (int64_t i = 0; i < counts_.size(0); ++i) offsets[i + 1] = offsets[i] + counts[i];
    for (size_t i = 0; i < supports_.size(); ++i) {
      std::copy(supports_[i].keys.begin(), supports_[i].keys.end(),
                joined.key_indices.data_ptr<int32_t>() + first[i]);
      std::copy(supports_[i].weights.begin(), supports_[i].weights.end(),
                joined.weights.data_ptr<float>() + first[i]);
    }
    int64_t* counters = joined.counters.data_ptr<int64_t>();
    for (int64_t i = 0; i < units * blocks_; ++i) {
      const exact::Counters& of = counters_[static_cast<size_t>(i)];
      const std::array<int64_t, exact::Counters::kCount> values{of.scored,  of.refined, of.support,
                                                                of.skipped, of.dense,   of.bytes};
      for (size_t k = 0; k < values.size(); ++k)
        counters[i / blocks_ * exact::Counters::kCount + static_cast<int64_t>(k)] += values[k];
    }
    return joined;
  }

  const AttentionProblem<float> problem_;
  const HeadsView<float> output_;
  Keep keep_;
  int64_t steps_;
  int64_t key_blocks_;
  exact::QueryBlocks cut_;
  int64_t blocks_;
  at::Tensor codes_;
  at::Tensor scales_;  // [4, heads * key blocks]: scale, inverse, error, norm
  at::Tensor good_;    // [heads * key blocks]: every number can be coded
  at::Tensor counts_;
  at::Tensor wide_;    // [batch, heads, blocks]
  at::Tensor places_;  // as SparseSupport's
  at::Tensor wide_weights_;
  std::vector<exact::BlockSupport> supports_;
  std::vector<exact::Counters> counters_;
};

}  // namespace

bool exact_applies(const AttentionCall& call) {
  return call.normalizer != Normalizer::softmax && !call.bias && call.query.scalar_type() != at::kDouble &&
         call.width() <= kWidest && call.keys() >= kFewestKeys && call.keys() < INT32_MAX &&
         call.query.numel() > 0 && call.value_width() > 0;
}

SparseSupport exact_forward(const AttentionCall& call, at::Tensor& output, Keep keep) {
  const AttentionCall rows = float_rows(call);
  const bool in_place =
      output.scalar_type() == at::kFloat && output.stride(-1) == 1 && rows.value_width() == output.size(-1);
  at::Tensor result = in_place ? output
                               : at::empty({rows.batch(), rows.heads(), rows.queries(), rows.value_width()},
                                           rows.query.options());
  SparseSupport support = ExactForward(rows, result, keep).run();
  if (!in_place) output.copy_(result.narrow(-1, 0, output.size(-1)));
  return support;
}

}  // namespace giantrabbit::ops::cpu
