// A checked call of lsh_attention as raw rows, and the chunks that hashing makes of the positions of one
// head: what the CPU kernels read. In, an LshCall and the positions in the order of their buckets; out, views
// that live as long as the problem. Invariant: every row is contiguous and of the accumulation type.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include <ATen/Parallel.h>

#include "ops/lsh_call.h"

namespace giantrabbit::ops::cpu {

// The place of padding in a chunk, later than every position.
constexpr int32_t kNobody = std::numeric_limits<int32_t>::max();

// The chunks of all rounds of one head, in a circle. Each round has the same number of them; places behind
// the last position of a round, and those of invalid positions, are padding.
class LshChunks {
 public:
  LshChunks(const int64_t* order, const bool* valid, int64_t rounds, int64_t length,
            const LshPattern& pattern)
      : rounds_(rounds), chunk_length_(std::min(pattern.chunk_length, length)) {
    per_round_ = (length + chunk_length_ - 1) / chunk_length_;
    const int64_t before = std::min(pattern.chunks_before, total());
    window_ = std::min(before + 1 + std::min(pattern.chunks_after, total()), total());
    before_ = std::min(before, window_ - 1);
    positions_.assign(static_cast<size_t>(total() * chunk_length_), kNobody);
    for (int64_t round = 0; round < rounds; ++round) {
      int32_t* place = positions_.data() + round * per_round_ * chunk_length_;
      for (int64_t i = 0; i < length; ++i, ++place) {
        const int64_t position = order[round * length + i];
        if (valid == nullptr || valid[position]) *place = static_cast<int32_t>(position);
      }
    }
  }

  int64_t rounds() const { return rounds_; }
  int64_t per_round() const { return per_round_; }
  int64_t total() const { return rounds_ * per_round_; }
  int64_t chunk_length() const { return chunk_length_; }
  // Chunks that a chunk sees, and how many of them stand before it. In a small circle each is seen once.
  int64_t window() const { return window_; }
  int64_t before() const { return before_; }
  const int32_t* positions(int64_t chunk) const { return positions_.data() + chunk * chunk_length_; }
  // Chunk `part` of the window of `chunk`.
  int64_t seen(int64_t chunk, int64_t part) const { return (chunk - before_ + part + total()) % total(); }

 private:
  int64_t rounds_;
  int64_t chunk_length_;
  int64_t per_round_;
  int64_t window_;
  int64_t before_;
  std::vector<int32_t> positions_;
};

template <class A>
struct LshHead {
  const A* query;  // [length, width]
  const A* key;
  const A* value;     // [length, value width]
  const bool* valid;  // [length], or null: all are
  LshChunks chunks;

  // Whether a query that sees no other key sees itself.
  bool sees_itself_last(int64_t position, const LshPattern& pattern) const {
    return pattern.exclude_self && (valid == nullptr || valid[position]);
  }
};

template <class A>
class LshProblem {
 public:
  LshProblem(const LshCall& call, const at::Tensor& order)
      : heads(call.query.size(0) * call.query.size(1)),
        length(call.query.size(2)),
        width(call.query.size(3)),
        value_width(call.value.size(3)),
        rounds(order.size(2)),
        normalizer(call.normalizer),
        scale(static_cast<A>(call.attention().score_scale())),
        pattern(call.pattern),
        query_(rows_of(call.query)),
        key_(rows_of(call.key)),
        value_(rows_of(call.value)),
        order_(order) {
    if (pattern.valid) pattern.valid = pattern.valid->contiguous();
  }

  // A tensor [B, H, N, width] as this problem's views read it.
  static at::Tensor rows_of(const at::Tensor& tensor) {
    return tensor.to(c10::CppTypeToScalarType<A>::value).contiguous();
  }

  LshHead<A> head(int64_t i) const {
    const bool* valid = nullptr;
    if (pattern.valid)
      valid = pattern.valid->template const_data_ptr<bool>() + i / heads_per_batch() * length;
    const int64_t* order = order_.const_data_ptr<int64_t>() + i * rounds * length;
    return {query_.template const_data_ptr<A>() + i * length * width,
            key_.template const_data_ptr<A>() + i * length * width,
            value_.template const_data_ptr<A>() + i * length * value_width, valid,
            LshChunks(order, valid, rounds, length, pattern)};
  }

  // Chunks per thread at least, so that waking a thread pays.
  int64_t grain(const LshChunks& chunks) const {
    constexpr int64_t kProducts = int64_t{1} << 18;
    const int64_t pairs = chunks.chunk_length() * chunks.chunk_length() * chunks.window();
    return std::max<int64_t>(1, kProducts / (pairs * (width + value_width + 1)));
  }

  int64_t heads;  // of all batches
  int64_t length;
  int64_t width;
  int64_t value_width;
  int64_t rounds;
  Normalizer normalizer;
  A scale;
  LshPattern pattern;

 private:
  int64_t heads_per_batch() const { return query_.size(1); }

  at::Tensor query_;
  at::Tensor key_;
  at::Tensor value_;
  at::Tensor order_;
};

// Calls function(head) for every head; few heads leave the threads to the loops inside one.
template <class Function>
void for_each_head(int64_t heads, const Function& function) {
  const int64_t grain = heads >= at::get_num_threads() ? 1 : heads;
  at::parallel_for(0, heads, grain, [&](int64_t begin, int64_t end) {
    for (int64_t head = begin; head < end; ++head) function(head);
  });
}

}  // namespace giantrabbit::ops::cpu
