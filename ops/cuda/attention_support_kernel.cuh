// The support of attention in compressed rows. In: what the forward pass kept, and where the entries of a row
// begin. Out: keys, rising, and weights. Rows whose entries were kept are copied; those of the others are
// found by a sweep over the keys, from the last one.
#pragma once

#include "ops/cuda/attention_rows.cuh"

namespace giantrabbit::ops::cuda {

template <class M>
struct SupportMemory {
  TileMemory<M> tile;
  unsigned char parts[BlockGroup::kPartBytes];
};

constexpr int kSupportBlocks = 2;  // per multiprocessor: left alone, ptxas aims at more and spills registers

template <class Rule, class Stored>
__global__ void __launch_bounds__(kBlockThreads, kSupportBlocks)
    attention_support(AttentionProblem problem, const Stored* query, const Stored* key, KeptRows kept,
                      const int64_t* row_offsets, int32_t* keys, Math<Stored>* weights) {
  using M = Math<Stored>;
  auto& memory = *reinterpret_cast<SupportMemory<M>*>(dynamic_shared_memory());
  const QueryBlock<Stored> block = own_query_block<Stored>(problem, query, key);
  const int64_t row = block.own_row();
  int64_t begin = 0;
  int64_t end = 0;
  if (block.exists()) {
    begin = row_offsets[row];
    end = row_offsets[row + 1];
  }
  bool wanted = begin < end;
  if (wanted && kept.keys != nullptr && kept.keys[row * kept.capacity] >= 0) {
    wanted = false;
    for (int64_t i = lane_index(); i < end - begin; i += kWarp) {
      keys[begin + i] = kept.keys[row * kept.capacity + i];
      weights[begin + i] = static_cast<const M*>(kept.weights)[row * kept.capacity + i];
    }
  }
  if (!BlockGroup{memory.parts}.any(wanted)) return;
  RowState<Rule, M> state{-kInfinity<M>, 0.0};
  if (wanted) state = RowState<Rule, M>::read(kept.states, row);
  sweep_scores(block, memory.tile, wanted, [&](int j, M score) {
    const M weight = state.weight(score);
    // Softmax keeps what is permitted, also where the weight is too small for its dtype.
    const bool entry = std::is_void_v<Rule> ? score != -kInfinity<M> : weight != M(0);
    const unsigned entries = __ballot_sync(kAllLanes, entry);
    end -= __popc(entries);
    if (!entry) return;
    const int64_t at = end + __popc(entries & ((1U << lane_index()) - 1));
    keys[at] = j;
    weights[at] = weight;
  });
}

}  // namespace giantrabbit::ops::cuda
