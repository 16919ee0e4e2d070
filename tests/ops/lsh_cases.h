// Problems that the tests of lsh_attention share, and the paper's own algorithm in plain tensors: every round
// normalised alone with additive masks, rounds combined by their log-sum-exp. It shares nothing with
// ops/reference, which counts pairs.
#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "ops/lsh_attention.h"
#include "tests/ops/attention_cases.h"

namespace giantrabbit::ops::test {

struct LshInputs {
  at::Tensor query;
  at::Tensor key;
  at::Tensor value;
  at::Tensor buckets;

  LshInputs to(at::ScalarType dtype) const {
    return {query.to(dtype), key.to(dtype), value.to(dtype), buckets};
  }
};

struct LshSizes {
  int64_t batch = 2;
  int64_t heads = 2;
  int64_t length = 13;
  int64_t width = 5;
  int64_t value_width = 3;
  int64_t rounds = 2;
};

// Buckets of uneven sizes, each round with numbers of its own.
inline LshInputs lsh_inputs(const LshSizes& of, at::ScalarType dtype = at::kDouble) {
  torch::manual_seed(kSeed);
  const auto options = torch::dtype(at::kDouble);
  const at::Tensor query = torch::randn({of.batch, of.heads, of.length, of.width}, options);
  const at::Tensor key = torch::randn({of.batch, of.heads, of.length, of.width}, options);
  const at::Tensor value = torch::randn({of.batch, of.heads, of.length, of.value_width}, options);
  constexpr int64_t kBuckets = 4;
  const at::Tensor buckets =
      torch::rand({of.batch, of.heads, of.rounds, of.length}).square().mul(kBuckets).floor().to(at::kLong) +
      kBuckets * torch::arange(of.rounds, torch::kLong).unsqueeze(1);
  return LshInputs{query, key, value, buckets}.to(dtype);
}

// About one position in four is padding, position 0 among them.
inline at::Tensor lsh_valid(int64_t batch, int64_t length) {
  torch::manual_seed(kSeed + 1);
  at::Tensor valid = torch::rand({batch, length}).lt(0.75);
  if (length > 0) valid.select(1, 0).fill_(false);
  return valid;
}

inline std::vector<std::pair<std::string, LshPattern>> every_lsh_pattern(int64_t batch, int64_t length) {
  const at::Tensor valid = lsh_valid(batch, length);
  return {{"one chunk", {4, 0, 0, false, false, {}}},
          {"before", {4, 1, 0, false, true, {}}},
          {"causal", {4, 1, 0, true, true, {}}},
          {"causal with self", {3, 1, 0, true, false, {}}},
          {"both sides, padding", {3, 1, 1, false, true, valid}},
          {"two before, one after, causal, padding", {2, 2, 1, true, true, valid}},
          {"chunks of one", {1, 1, 0, false, true, {}}},
          {"wider than all chunks", {7, 40, 30, true, true, valid}},
          {"longer than all positions", {100, 1, 0, false, true, {}}}};
}

inline at::Tensor attend(const LshInputs& in, const LshPattern& pattern, Normalizer normalizer) {
  return lsh_attention(in.query, in.key, in.value, in.buckets, pattern, normalizer);
}

// Positions [chunks of all rounds, chunk length] of one head, the queries; `length` stands for padding.
inline at::Tensor chunked_positions(const at::Tensor& buckets, int64_t chunk_length) {
  const int64_t length = buckets.size(1);
  const int64_t chunks = (length + chunk_length - 1) / chunk_length;
  at::Tensor places = torch::full({buckets.size(0), chunks * chunk_length}, length, torch::kLong);
  for (int64_t round = 0; round < buckets.size(0); ++round) {
    const at::Tensor rank = buckets[round] * length + torch::arange(length, torch::kLong);
    places[round].narrow(0, 0, length).copy_(rank.argsort());
  }
  return places.view({-1, chunk_length});
}

// [chunks of all rounds, chunk length * window], the keys.
inline at::Tensor seen_positions(const at::Tensor& queries, const LshPattern& pattern) {
  const int64_t total = queries.size(0);
  std::vector<at::Tensor> parts;
  for (int64_t step = -pattern.chunks_before; step <= pattern.chunks_after; ++step) {
    if (static_cast<int64_t>(parts.size()) < total) parts.push_back(queries.roll(-step, 0));
  }
  return at::cat(parts, 1);
}

// One head with softmax; `valid` is [length].
inline at::Tensor lsh_by_rounds(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                const at::Tensor& buckets, const LshPattern& pattern,
                                const at::Tensor& valid) {
  const int64_t length = query.size(0);
  const int64_t rounds = buckets.size(0);
  const at::Tensor queries = chunked_positions(buckets, std::min(pattern.chunk_length, length));
  const at::Tensor keys = seen_positions(queries, pattern);
  const auto padded = [](const at::Tensor& rows) { return at::constant_pad_nd(rows, {0, 0, 0, 1}); };
  const auto gathered = [&](const at::Tensor& rows, const at::Tensor& places) {
    return padded(rows).index({places});
  };
  at::Tensor scores = gathered(query, queries).matmul(gathered(key, keys).transpose(1, 2)) /
                      std::sqrt(static_cast<double>(query.size(1)));
  const at::Tensor row = queries.unsqueeze(2);
  const at::Tensor column = keys.unsqueeze(1);
  const at::Tensor known = at::cat({valid, torch::zeros({1}, torch::kBool)});
  scores = scores.masked_fill(known.index({column}).logical_not(), -1e9);
  if (pattern.causal) scores = scores.masked_fill(column.gt(row), -1e9);
  if (pattern.exclude_self) scores = scores - 1e5 * column.eq(row);
  const at::Tensor lse = scores.logsumexp(2);
  const at::Tensor mean = (scores - lse.unsqueeze(2)).exp().matmul(gathered(value, keys));
  // Back to the order of the positions; what stands in padding goes to a row that is cut off.
  const int64_t places = queries.numel() / rounds;
  const at::Tensor rank = queries.view({rounds, places}).argsort(/*stable=*/true, 1).narrow(1, 0, length);
  const at::Tensor lse_of = lse.view({rounds, places}).gather(1, rank);
  const at::Tensor mean_of =
      mean.view({rounds, places, -1}).gather(1, rank.unsqueeze(2).expand({rounds, length, value.size(1)}));
  const at::Tensor result = (lse_of.softmax(0).unsqueeze(2) * mean_of).sum(0);
  return result.masked_fill(valid.logical_not().unsqueeze(1), 0.0);
}

// All heads.
inline at::Tensor lsh_by_rounds(const LshInputs& in, const LshPattern& pattern) {
  const at::Tensor valid =
      pattern.valid.value_or(torch::ones({in.query.size(0), in.query.size(2)}, torch::kBool));
  std::vector<at::Tensor> heads;
  for (int64_t b = 0; b < in.query.size(0); ++b) {
    for (int64_t h = 0; h < in.query.size(1); ++h) {
      heads.push_back(
          lsh_by_rounds(in.query[b][h], in.key[b][h], in.value[b][h], in.buckets[b][h], pattern, valid[b]));
    }
  }
  return at::stack(heads).view({in.query.size(0), in.query.size(1), in.query.size(2), -1});
}

// Which keys the queries of one head may see, read off the same places: bool [length, length].
inline at::Tensor lsh_seen(const at::Tensor& buckets, const LshPattern& pattern, const at::Tensor& valid) {
  const int64_t length = buckets.size(1);
  const at::Tensor queries = chunked_positions(buckets, std::min(pattern.chunk_length, length));
  const at::Tensor keys = seen_positions(queries, pattern);
  at::Tensor seen = torch::zeros({length + 1, length + 1}, torch::kBool);
  seen.index_put_({queries.unsqueeze(2), keys.unsqueeze(1)}, torch::ones({}, torch::kBool));
  seen = seen.narrow(0, 0, length).narrow(1, 0, length);
  seen = seen.logical_and(valid.unsqueeze(0)).logical_and(valid.unsqueeze(1));
  if (pattern.causal) seen = seen.tril();
  for (int64_t i = 0; pattern.exclude_self && i < length; ++i) {
    if (seen[i].sum().item<int64_t>() > 1) seen[i][i] = false;
  }
  return seen;
}

}  // namespace giantrabbit::ops::test
