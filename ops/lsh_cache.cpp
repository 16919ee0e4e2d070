// Tokens join the order of their buckets one by one; see lsh_cache.h. Chunks are those of the kernels
// (cpu/lsh_problem.h), made of the order so far.
#include "ops/lsh_cache.h"

#include <algorithm>
#include <cmath>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include "ops/cpu/lsh_problem.h"
#include "ops/cpu/row_normalizer.h"

namespace giantrabbit::ops {

// One head of one sequence.
struct LshCache::Head {
  std::vector<float> keys;                    // [length, d]
  std::vector<float> values;                  // [length, e]
  std::vector<std::vector<int64_t>> buckets;  // of every round, by position
  std::vector<std::vector<int64_t>> order;    // of every round: positions by (bucket, position)
  std::vector<int64_t> last;                  // in every round: the place of the newest position
  int64_t length() const { return buckets.empty() ? 0 : std::ssize(buckets.front()); }
};

// Row m of every head of one sequence: of key [H, M, d], value [H, M, e] and buckets [H, R, M].
struct LshCache::Token {
  at::Tensor keys, values, buckets;
  int64_t index;
};

LshCache::LshCache(LshHashing hashing, LshPattern pattern, Normalizer normalizer, std::optional<double> scale)
    : hashing_(std::move(hashing)), pattern_(std::move(pattern)), normalizer_(normalizer), scale_(scale) {
  TORCH_CHECK(pattern_.causal && !pattern_.valid,
              "LshCache: expected a causal pattern without valid positions");
}

int64_t LshCache::length(int64_t sequence) const {
  const Sequence& heads = *sequences_[static_cast<size_t>(sequence)];
  return heads.empty() ? 0 : heads.front().length();
}

void LshCache::check(const at::Tensor& query, const at::Tensor& value) const {
  TORCH_CHECK(query.dim() == 4 && value.dim() == 4 && query.sizes().slice(0, 3) == value.sizes().slice(0, 3),
              "LshCache: expected query [B, H, M, d] and value [B, H, M, e], got ", query.sizes(), " and ",
              value.sizes());
  if (sequences_.empty()) return;
  const auto heads = std::ssize(*sequences_.front());
  TORCH_CHECK(query.size(0) == batch() && query.size(1) == heads && query.size(3) == width_ &&
                  value.size(3) == value_width_,
              "LshCache: expected ", batch(), " sequences of ", heads, " heads of widths ", width_, " and ",
              value_width_, ", got query ", query.sizes(), " and value ", value.sizes());
}

LshCache::Sequence& LshCache::own_sequence(int64_t index) {
  std::shared_ptr<Sequence>& sequence = sequences_[static_cast<size_t>(index)];
  if (sequence.use_count() > 1) sequence = std::make_shared<Sequence>(*sequence);
  return *sequence;
}

void LshCache::append_token(Sequence& sequence, const Token& token) const {
  const int64_t rounds = token.buckets.size(1);
  for (int64_t h = 0; h < std::ssize(sequence); ++h) {
    Head& head = sequence[static_cast<size_t>(h)];
    const float* key = token.keys.const_data_ptr<float>() + (h * token.keys.size(1) + token.index) * width_;
    const float* value =
        token.values.const_data_ptr<float>() + (h * token.values.size(1) + token.index) * value_width_;
    head.keys.insert(head.keys.end(), key, key + width_);
    head.values.insert(head.values.end(), value, value + value_width_);
    head.buckets.resize(static_cast<size_t>(rounds));
    head.order.resize(static_cast<size_t>(rounds));
    head.last.resize(static_cast<size_t>(rounds));
    for (int64_t r = 0; r < rounds; ++r) {
      const auto round = static_cast<size_t>(r);
      std::vector<int64_t>& buckets = head.buckets[round];
      std::vector<int64_t>& order = head.order[round];
      const int64_t bucket =
          token.buckets.const_data_ptr<int64_t>()[(h * rounds + r) * token.buckets.size(2) + token.index];
      const auto later = [&](int64_t of, int64_t position) {
        return of < buckets[static_cast<size_t>(position)];
      };
      const auto place = std::upper_bound(order.begin(), order.end(), bucket, later);
      head.last[round] = place - order.begin();
      order.insert(place, std::ssize(buckets));
      buckets.push_back(bucket);
    }
  }
}

void LshCache::append(const at::Tensor& query, const at::Tensor& value,
                      const std::optional<at::Tensor>& counts) {
  check(query, value);
  if (sequences_.empty()) {
    width_ = query.size(3);
    value_width_ = value.size(3);
    for (int64_t b = 0; b < query.size(0); ++b)
      sequences_.push_back(std::make_shared<Sequence>(static_cast<size_t>(query.size(1))));
  }
  const at::Tensor buckets = lsh_buckets(query, hashing_);
  const at::Tensor keys = lsh_shared_keys(query).to(at::kFloat).contiguous();
  const at::Tensor values = value.to(at::kFloat).contiguous();
  const at::Tensor wanted = counts ? counts->contiguous() : at::Tensor();
  for (int64_t b = 0; b < batch(); ++b) {
    const int64_t count = counts ? wanted.const_data_ptr<int64_t>()[b] : query.size(2);
    TORCH_CHECK(count >= 0 && count <= query.size(2), "LshCache: expected counts from 0 to ", query.size(2),
                ", got ", count);
    Sequence& sequence = own_sequence(b);
    for (int64_t m = 0; m < count; ++m) append_token(sequence, {keys[b], values[b], buckets[b], m});
  }
}

// The newest token of a head attends.
void LshCache::attend(const Head& head, const float* query, float* output) const {
  const int64_t length = head.length();
  const auto self = static_cast<int32_t>(length - 1);
  std::vector<int64_t> order;
  for (const std::vector<int64_t>& round : head.order) order.insert(order.end(), round.begin(), round.end());
  const cpu::LshChunks chunks(order.data(), nullptr, std::ssize(head.order), length, pattern_);
  std::vector<int32_t> count(static_cast<size_t>(length), 0);
  std::vector<int32_t> seen;
  for (int64_t round = 0; round < chunks.rounds(); ++round) {
    const int64_t chunk =
        round * chunks.per_round() + head.last[static_cast<size_t>(round)] / chunks.chunk_length();
    for (int64_t part = 0; part < chunks.window(); ++part) {
      const int32_t* position = chunks.positions(chunks.seen(chunk, part));
      for (int64_t i = 0; i < chunks.chunk_length(); ++i) {
        if (position[i] == cpu::kNobody || (pattern_.exclude_self && position[i] == self)) continue;
        if (count[static_cast<size_t>(position[i])]++ == 0) seen.push_back(position[i]);
      }
    }
  }
  if (seen.empty()) seen.push_back(self);
  const auto scale = static_cast<float>(scale_.value_or(1 / std::sqrt(static_cast<double>(width_))));
  std::vector<float> scores;
  for (const int32_t position : seen) {
    const float* key = head.keys.data() + position * width_;
    float score = 0;
    for (int64_t k = 0; k < width_; ++k) score += query[k] * key[k];
    const int32_t times = count[static_cast<size_t>(position)];
    const bool counted = normalizer_ == Normalizer::softmax && times > 1;
    scores.push_back(scale * score + (counted ? std::log(static_cast<float>(times)) : 0.0F));
  }
  cpu::normalize_row(normalizer_, scores.data(), std::ssize(scores));
  for (size_t i = 0; i < seen.size(); ++i) {
    if (scores[i] == 0) continue;  // what has no weight may be infinite
    const float* value = head.values.data() + seen[i] * value_width_;
    for (int64_t e = 0; e < value_width_; ++e) output[e] += scores[i] * value[e];
  }
}

at::Tensor LshCache::step(const at::Tensor& query, const at::Tensor& value) {
  TORCH_CHECK(query.dim() == 4 && query.size(2) == 1, "LshCache: expected one token [B, H, 1, d], got ",
              query.sizes());
  append(query, value);
  const at::Tensor rows = query.to(at::kFloat).contiguous();
  const at::Tensor output =
      at::zeros({value.size(0), value.size(1), 1, value.size(3)}, value.options().dtype(at::kFloat));
  const int64_t heads = query.size(1);
  at::parallel_for(0, batch() * heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Sequence& sequence = *sequences_[static_cast<size_t>(i / heads)];
      attend(sequence[static_cast<size_t>(i % heads)], rows.const_data_ptr<float>() + i * width_,
             output.mutable_data_ptr<float>() + i * value_width_);
    }
  });
  return output;
}

void LshCache::keep(const at::Tensor& rows) {
  std::vector<std::shared_ptr<Sequence>> kept;
  for (int64_t i = 0; i < rows.numel(); ++i) {
    const int64_t row = rows.const_data_ptr<int64_t>()[i * rows.stride(0)];
    TORCH_CHECK(row >= 0 && row < batch(), "LshCache: expected rows from 0 to ", batch() - 1, ", got ", row);
    kept.push_back(sequences_[static_cast<size_t>(row)]);
  }
  sequences_ = std::move(kept);
}

}  // namespace giantrabbit::ops
